//! Archives: their headers, long names, sparse files, links; every file is read, and what they hold is audited.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pgfsck_check::audit::{Options, audit};
use pgfsck_check::sink::Silent;
use pgfsck_volume::{Archives, EntryKind, VolPath, Volume};

/// No archive of a few bytes has more names, whatever it says.
const MOST_NAMES: usize = 100_000;

fn visit(volume: &Archives, dir: &VolPath, depth: usize, left: &mut usize) {
    let mut entries = Vec::new();
    let _ = volume.list(dir, &mut |entry| entries.push(entry));
    for entry in entries {
        *left = left
            .checked_sub(1)
            .expect("so many names from so few bytes");
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Directory if depth < 64 => visit(volume, &path, depth + 1, left),
            EntryKind::File { .. } => {
                if let Ok(file) = volume.open(&path) {
                    let mut buffer = [0; 1024];
                    let n = file.read_at(&mut buffer, 0).unwrap_or(0);
                    assert!(n as u64 <= file.len());
                    let _ = file.read_at(&mut buffer, file.len().saturating_sub(100));
                }
            }
            _ => {}
        }
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 4 > 0 {
        pgfsck_fuzz::seal_headers(&mut data[..size]);
    }
    size
});

fuzz_target!(|data: &[u8]| {
    let archive = Archives::of_content("fuzz.tar", data.to_vec());
    visit(&archive, &VolPath::root(), 0, &mut { MOST_NAMES });
    let _ = archive.defects().len();
    let options = Options {
        jobs: 1,
        ..Options::default()
    };
    let _ = audit(&archive, &options, &Silent).exit_code;
});
