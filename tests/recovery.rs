//! What recovery will do, against servers that do it.

use pgfsck_fixtures::wal_damages::Arguments;

use crate::common::program;

#[test]
fn what_the_audit_says_of_a_damaged_log_is_what_the_server_does() {
    let program = program().path().to_owned();
    let run = Arguments::small("15", 12, 1, program).run();
    run.expect("audit and server agree");
}
