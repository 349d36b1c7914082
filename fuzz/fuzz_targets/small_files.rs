//! The small files: labels, maps, histories, slots, prepared transactions.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::CheckPoint;
use pgfsck_format::pg_version::PgVersion;
use pgfsck_format::postmaster_pid::PostmasterPid;
use pgfsck_format::replorigin::OriginCheckpoint;
use pgfsck_format::replslot::ReplicationSlot;
use pgfsck_format::twophase::TwoPhaseState;
use pgfsck_format::wal::history;
use pgfsck_format::{sequence, tablespace_map};

/// The format comes first, then one byte for the kind.
const HEAD: usize = 3;

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        if size <= HEAD {
            return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
        }
        let Some((fmt, _)) = pgfsck_fuzz::format(data) else {
            return size;
        };
        let kind = data[HEAD - 1];
        HEAD + pgfsck_fuzz::mutate_sealed(
            &mut data[HEAD..],
            size - HEAD,
            max_size - HEAD,
            |bytes| {
                let crc = match kind % 9 {
                    5 => TwoPhaseState::decode(bytes, fmt).ok()?.crc,
                    6 => ReplicationSlot::decode(bytes, fmt).ok()?.crc,
                    8 => OriginCheckpoint::decode(bytes, fmt).ok()?.crc,
                    _ => return None,
                };
                Some((crc.stored, crc.computed))
            },
        )
    }
);

fuzz_target!(|data: &[u8]| {
    let Some((fmt, rest)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let Some((kind, bytes)) = rest.split_first() else {
        return;
    };
    let _ = match kind % 9 {
        0 => BackupLabel::parse(bytes).is_ok(),
        1 => tablespace_map::parse(bytes).is_ok(),
        2 => PostmasterPid::parse(bytes).is_ok(),
        3 => history::parse(bytes).is_ok(),
        4 => PgVersion::parse(bytes).is_ok(),
        5 => TwoPhaseState::decode(bytes, fmt).is_ok_and(|s| s.is_sound(bytes.len() as u64)),
        6 => ReplicationSlot::decode(bytes, fmt).is_ok_and(|s| s.is_sound(bytes.len() as u64)),
        8 => OriginCheckpoint::decode(bytes, fmt).is_ok_and(|s| s.is_sound()),
        _ => {
            CheckPoint::decode(bytes, 0, fmt).is_ok()
                | sequence::Sequence::decode(bytes, fmt).is_ok()
        }
    };
});
