//! A database of a million relations, in bounded memory and linear time.
//!
//! Its own program, because it measures the memory of the whole process.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_catalog::descriptors::PG_CLASS;
use pgfsck_catalog::{ClusterCatalog, Stop};
use pgfsck_fixtures::sample;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::control::ControlFile;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ForkNumber, Oid};
use pgfsck_volume::{Directory, VolPath, Volume};
use std::fs::OpenOptions;
use std::io::{BufWriter, Seek, SeekFrom, Write};

const RELATIONS: usize = 1_000_000;
const LIMIT_MIB: u64 = 150;

/// The most memory this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[test]
fn a_million_relations_fit() {
    let tmp = tempfile::tempdir().unwrap();
    let data_dir = sample(tmp.path().join("data")).unwrap();
    let volume = Directory::new(&data_dir, Vec::new()).unwrap();
    let control = volume
        .read_small(&VolPath::new("global/pg_control"), 1 << 16)
        .unwrap();
    let control = ControlFile::decode(&control).unwrap().control;
    let fmt = control.cluster_format().unwrap();
    let stop = Stop::new(&control.check_point_copy, true);
    let load = || ClusterCatalog::load(&volume, fmt, control.catalog_version, stop);

    // Pages of relations that do not exist, behind those of the ones that do.
    let cluster = load();
    let database = cluster.databases.last().unwrap();
    let own = cluster.load_database(&volume, database);
    let before = own.relations.len();
    let locator = own.relation(Oid(PG_CLASS.oid)).unwrap().locator().unwrap();
    let path = cluster.paths.file(locator, ForkNumber::Main, 0);
    let template = std::fs::read(path.below(&data_dir)).unwrap();
    let template = &template[..fmt.block_len()];
    let layout = PG_CLASS.layout(fmt);
    let offset = |name| layout.place(name).unwrap().offset.unwrap();
    let (oid_at, name_at) = (offset("oid"), offset("relname"));
    let (filenode_at, shared_at) = (offset("relfilenode"), offset("relisshared"));
    let mut file = OpenOptions::new()
        .write(true)
        .open(path.below(&data_dir))
        .unwrap();
    let mut block = (file.seek(SeekFrom::End(0)).unwrap() / u64::from(fmt.block_size)) as u32;
    let mut out = BufWriter::new(file);
    let mut made = 0u32;
    while (made as usize) < RELATIONS {
        let mut page = template.to_vec();
        let view = Page::new(template, BlockNumber(0), fmt).unwrap();
        for (_, item) in view.items().filter(|(_, i)| i.state == ItemState::Normal) {
            let tuple = usize::from(item.offset);
            let data = tuple + usize::from(page[tuple + 22]);
            let number = 1_000_000 + made;
            page[data + oid_at..][..4].copy_from_slice(&number.to_le_bytes());
            page[data + filenode_at..][..4].copy_from_slice(&number.to_le_bytes());
            page[data + shared_at] = 0;
            let name = format!("orders_of_month_{number}_pkey");
            page[data + name_at..][..64].fill(0);
            page[data + name_at..][..name.len()].copy_from_slice(name.as_bytes());
            made += 1;
        }
        let checksum = page_checksum(&page, BlockNumber(block), fmt.order);
        page[8..10].copy_from_slice(&checksum.to_le_bytes());
        out.write_all(&page).unwrap();
        block += 1;
    }
    out.into_inner().unwrap();
    drop((own, cluster));

    let cluster = load();
    let database = cluster.databases.last().unwrap();
    let idle = peak_mib();
    let begun = std::time::Instant::now();
    let catalog = cluster.load_database(&volume, database);
    let (took, peak) = (begun.elapsed(), peak_mib());
    assert!(catalog.complete);
    assert!(catalog.relations.len() >= before + RELATIONS);
    let some = catalog.relations.last().unwrap();
    assert!(catalog.name(some).starts_with("orders_of_month_"));
    println!(
        "{} relations: {took:?}, {idle} MiB before, {peak} MiB at most",
        catalog.relations.len()
    );
    assert!(
        peak - idle <= LIMIT_MIB,
        "{peak} MiB, {idle} of them before"
    );
}
