//! The page checksum against the scalar reference and against a copy of the same bytes.
//!
//! What counts are the ratios within one run: a kernel that has fallen back to scalar code shows as
//! a ratio near 1 against the reference. 256 KiB lie in the second-level cache, as a scan's buffer does.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pgfsck_format::checksum::{checksum_raw, checksum_raw_pair};
use pgfsck_format::{ByteOrder, page};
use std::hint::black_box;

#[expect(clippy::indexing_slicing, reason = "it is written to be read")]
#[path = "../crates/format/tests/reference/checksum.rs"]
mod reference;

const BUFFER: usize = 256 << 10;

fn checksum(c: &mut Criterion) {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    let pages: Vec<u8> = (0..BUFFER)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[4]
        })
        .collect();
    let zeros = vec![0u8; BUFFER];
    let mut copy = vec![0u8; BUFFER];

    let mut group = c.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(BUFFER as u64));
    group.bench_function("memcpy", |b| {
        b.iter(|| copy.copy_from_slice(black_box(&pages)));
    });
    for block_len in [1024, 8192, 32768] {
        for (name, order) in [("little", ByteOrder::Little), ("big", ByteOrder::Big)] {
            group.bench_with_input(BenchmarkId::new(name, block_len), &block_len, |b, &len| {
                b.iter(|| {
                    black_box(&pages)
                        .chunks_exact(len)
                        .fold(0, |acc, page| acc ^ checksum_raw(page, order))
                });
            });
        }
    }
    for (name, order) in [
        ("pair-little", ByteOrder::Little),
        ("pair-big", ByteOrder::Big),
    ] {
        group.bench_function(BenchmarkId::new(name, 8192), |b| {
            b.iter(|| {
                black_box(&pages)
                    .chunks_exact(2 * 8192)
                    .fold(0, |acc, two| {
                        let (first, second) = two.split_at(8192);
                        let [a, b] = checksum_raw_pair(first, second, order);
                        acc ^ a ^ b
                    })
            });
        });
    }
    group.bench_function("scalar/8192", |b| {
        b.iter(|| {
            black_box(&pages)
                .chunks_exact(8192)
                .fold(0, |acc, page| acc ^ reference::checksum_raw(page, false))
        });
    });
    group.bench_function("all_zero/8192", |b| {
        b.iter(|| black_box(&zeros).chunks_exact(8192).all(page::is_all_zero));
    });
    group.finish();
}

criterion_group!(benches, checksum);
criterion_main!(benches);
