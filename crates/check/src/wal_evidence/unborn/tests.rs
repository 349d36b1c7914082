use super::*;
use crate::testing::format;
use pgfsck_format::wal::RecordType;

const UNBORN: Unborn = Unborn {
    xid: TransactionId(1000),
    multi: MultiXactId(50),
    oid: Oid(20_000),
    before: Lsn(0x200),
};

/// A record as it stands in the log.
fn record(rmgr: u8, info: u8, xid: u32, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap();
    let mut bytes = (26 + u32::from(length)).to_le_bytes().to_vec();
    bytes.extend(xid.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend([info, rmgr, 0, 0, 0, 0, 0, 0, 255, length]);
    bytes.extend(data);
    bytes
}

fn multixact(id: u32) -> Vec<u8> {
    let fields = [id, 7, 2, 900, 1, 901, 1];
    let data: Vec<u8> = fields.iter().flat_map(|f| f.to_le_bytes()).collect();
    record(6, 0x20, 0, &data)
}

fn next_oid(end: u32) -> Vec<u8> {
    record(0, 0x30, 0, &end.to_le_bytes())
}

/// A checkpoint while the server runs.
fn checkpoint(xid: u32, oid: u32, multi: u32) -> Vec<u8> {
    let mut data = vec![0; 88];
    data[20..24].copy_from_slice(&2_u32.to_le_bytes());
    data[24..28].copy_from_slice(&xid.to_le_bytes());
    data[32..36].copy_from_slice(&oid.to_le_bytes());
    data[36..40].copy_from_slice(&multi.to_le_bytes());
    record(0, 0x10, 0, &data)
}

/// What the records say, in order: counters with what they cannot be less than.
fn overtaken(records: &[Vec<u8>], at: Lsn) -> Vec<(&'static str, u32)> {
    let mut found = Found::default();
    for bytes in records {
        let record = Record::decode(bytes, format()).unwrap();
        let event = Event {
            lsn: at,
            record: RecordType::new(record.header.rmgr, record.header.info),
            xid: record.header.xid,
        };
        found.take(&UNBORN, event, &record);
    }
    found.all().map(|o| (o.counter, o.least)).collect()
}

#[test]
fn numbers_that_were_not_given_out_yet() {
    let before = Lsn(0x1F8);
    let sound = [
        record(10, 0, 999, b"x"),
        multixact(49),
        next_oid(20_000 + OID_PREFETCH),
        checkpoint(1000, 28_192, 50),
    ];
    assert_eq!(overtaken(&sound, before), []);
    let ahead = [
        record(10, 0, 1000, b"x"),
        record(10, 0, 1007, b"x"),
        multixact(50),
        next_oid(20_001 + OID_PREFETCH),
    ];
    let expect = [("nextXid", 1001), ("nextMulti", 51), ("nextOid", 20_001)];
    assert_eq!(overtaken(&ahead, before), expect);
    // What follows the redo point may be anything.
    assert_eq!(overtaken(&ahead, UNBORN.before), []);
    assert_eq!(
        overtaken(&[checkpoint(1001, 30_000, 60)], before),
        [
            ("nextXid", 1001),
            ("nextMulti", 60),
            ("nextOid", 30_000 - OID_PREFETCH)
        ]
    );
}

#[test]
fn numbers_go_round() {
    let before = Lsn(0x100);
    // Before the counters went round they were high.
    let round = [
        record(10, 0, 0xFFFF_FF00, b"x"),
        multixact(u32::MAX),
        next_oid(u32::MAX - 5),
        next_oid(100),
    ];
    assert_eq!(overtaken(&round, before), []);
    // More than half a round ago they seem ahead; a checkpoint on the way says that they are not.
    let mut long = vec![
        record(10, 0, 0x7000_0000, b"x"),
        multixact(0x7000_0000),
        next_oid(0x7000_0000),
    ];
    assert_eq!(overtaken(&long, before).len(), 3);
    long.push(checkpoint(990, 21_000, 50));
    assert_eq!(overtaken(&long, before), []);
}
