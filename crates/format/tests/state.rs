//! State files of real prepared transactions, replication slots and replication origins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::path::Path;

use pgfsck_format::control::ControlFile;
use pgfsck_format::replorigin::{OriginCheckpoint, OriginProgress};
use pgfsck_format::replslot::{Persistency, ReplicationSlot};
use pgfsck_format::twophase::{TwoPhaseFileName, TwoPhaseState};
use pgfsck_format::{ClusterFormat, Lsn, Major, Oid, TransactionId};
use proptest::prelude::*;

fn data(path: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data");
    std::fs::read(dir.join(path)).expect(path)
}

fn format(major: Major) -> ClusterFormat {
    let file = ControlFile::decode(&data(&format!("oracle/{major}/pg_control"))).unwrap();
    file.control.cluster_format().unwrap()
}

#[test]
fn a_prepared_transaction_of_9_6() {
    let bytes = data("state/pg96.0000027A");
    let t = TwoPhaseState::decode(&bytes, format(Major::V9_6)).unwrap();
    assert!(t.is_sound(bytes.len() as u64));
    let name = TwoPhaseFileName::parse(b"0000027A").unwrap();
    assert_eq!(t.xid, name.xid());
    assert_eq!(t.gid, b"my gid 3");
    assert_eq!(t.subtransactions, [TransactionId(0x27B)]);
    assert_eq!((t.commit_relations.len(), t.abort_relations.len()), (1, 1));
    let created = t.abort_relations[0];
    assert_eq!(
        (created.tablespace, created.database),
        (Oid::PG_DEFAULT, t.database)
    );
    assert_eq!((created.number.0, t.origin_lsn), (0x40BB, None));
}

#[test]
fn a_prepared_transaction_of_17() {
    let bytes = data("state/pg17.0000000000000358");
    let t = TwoPhaseState::decode(&bytes, format(Major::V17)).unwrap();
    assert!(t.is_sound(bytes.len() as u64));
    let name = TwoPhaseFileName::parse(b"0000000000000358").unwrap();
    assert_eq!(
        (t.xid, t.gid.as_slice()),
        (name.xid(), b"gid-four".as_slice())
    );
    assert_eq!(
        t.subtransactions,
        [TransactionId(0x359), TransactionId(0x35A)]
    );
    assert_eq!((t.commit_relations.len(), t.abort_relations.len()), (1, 4));
    assert_eq!(t.origin_lsn, Some(Lsn(0)));
    // 11 to 14 have the same magic and another header: the sizes do not fit or the parts are others.
    let wrong = TwoPhaseState::decode(&bytes, format(Major::V14));
    assert!(wrong.is_err() || wrong.unwrap().gid != b"gid-four");
}

#[test]
fn damage_to_a_prepared_transaction_is_seen() {
    let bytes = data("state/pg96.0000027A");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        if let Ok(t) = TwoPhaseState::decode(&damaged, format(Major::V9_6)) {
            assert!(!t.is_sound(bytes.len() as u64), "byte {at}");
        }
    }
    for len in 0..120 {
        assert!(
            TwoPhaseState::decode(&bytes[..len], format(Major::V9_6))
                .map_or(true, |t| !t.is_sound(len as u64))
        );
    }
}

#[test]
fn a_slot_of_9_6() {
    let bytes = data("state/pg96.phys1.state");
    let s = ReplicationSlot::decode(&bytes, format(Major::V9_6)).unwrap();
    assert!(s.is_sound(bytes.len() as u64));
    assert_eq!(
        (s.name.as_slice(), s.plugin.as_slice()),
        (b"phys1".as_slice(), b"".as_slice())
    );
    assert!(!s.is_logical() && !s.is_lost());
    assert_eq!((s.persistency, s.version), (Persistency::Persistent, 2));
    assert_eq!((s.two_phase, s.synced), (None, None));
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    assert!(
        !ReplicationSlot::decode(&damaged, format(Major::V9_6))
            .unwrap()
            .crc
            .matches()
    );
}

#[test]
fn the_progress_of_an_origin_of_9_6() {
    let bytes = data("state/pg96.replorigin_checkpoint");
    let fmt = format(Major::V9_6);
    let state = OriginCheckpoint::decode(&bytes, fmt).unwrap();
    assert!(state.is_sound());
    let feed = OriginProgress {
        origin: 1,
        remote_lsn: Lsn(0x12_3456),
    };
    assert_eq!(state.origins, [feed]);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let state = OriginCheckpoint::decode(&damaged, fmt).unwrap();
        assert!(!state.is_sound(), "byte {at}");
    }
    for len in 0..bytes.len() {
        let state = OriginCheckpoint::decode(&bytes[..len], fmt);
        assert!(state.map_or(true, |s| !s.is_sound()), "{len} bytes");
    }
}

/// `ReplicationSlotPersistentData` of every major fits the length that its files have.
#[test]
fn slots_fit_the_lengths_of_their_majors() {
    for (major, length, length_i386) in [
        (Major::V9_6, 160, 160),
        (Major::V12, 160, 160),
        (Major::V13, 168, 168),
        (Major::V14, 184, 180),
        (Major::V15, 184, 180),
        (Major::V16, 184, 176),
        (Major::V17, 184, 176),
        (Major::V18, 184, 176),
    ] {
        for (align, length) in [(8, length), (4, length_i386)] {
            let mut fmt = format(major);
            fmt.max_align = align;
            let bytes = vec![0; 16 + length];
            assert!(
                ReplicationSlot::decode(&bytes, fmt).is_ok(),
                "{major} {align}"
            );
            // The last field ends less than an alignment before the end.
            let short = &bytes[..bytes.len() - 8];
            assert!(
                ReplicationSlot::decode(short, fmt).is_err(),
                "{major} {align}"
            );
        }
    }
}

proptest! {
    #[test]
    fn never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        major in proptest::sample::select(Major::ALL.as_slice()),
        i386: bool,
    ) {
        let mut fmt = format(major);
        fmt.max_align = if i386 { 4 } else { 8 };
        let _ = TwoPhaseState::decode(&bytes, fmt);
        let _ = ReplicationSlot::decode(&bytes, fmt);
        let _ = OriginCheckpoint::decode(&bytes, fmt);
    }
}
