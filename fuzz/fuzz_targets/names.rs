//! Names of files, and the text that reports make of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::names::{
    RelFileName, TablespaceVersionDir, TempFileName, parse_incremental, parse_oid,
};
use pgfsck_format::twophase::TwoPhaseFileName;
use pgfsck_format::wal::{SegmentName, WalFileName};
use pgfsck_volume::VolPath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

fuzz_target!(|data: &[u8]| {
    if let Some(name) = RelFileName::parse(data) {
        assert_eq!(
            name.to_string().as_bytes(),
            data,
            "a name reads as it is written"
        );
    }
    let _ = (
        parse_oid(data),
        parse_incremental(data),
        TempFileName::parse(data),
    );
    let _ = (
        TablespaceVersionDir::parse(data),
        TwoPhaseFileName::parse(data),
    );
    let _ = (SegmentName::parse(data), WalFileName::parse(data));
    let shown = VolPath::root().join(OsStr::from_bytes(data)).to_string();
    assert!(
        shown.chars().all(|c| !c.is_control()),
        "nothing reaches a terminal raw"
    );
    let _ = serde_json::to_string(&shown).expect("nor breaks JSON");
});
