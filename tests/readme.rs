//! The README's claims are true today: every command in it is run, in its order, from the root of
//! the checkout, with the exit code that the README names.

use std::path::Path;
use std::process::Command;

/// The command that runs this test: it cannot be run by it. `.ci/run` calls it.
const TEST_COMMAND: &str = "./test";

/// The commands of the README's `console` blocks.
fn commands(readme: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(kind) => inside = kind == "console",
            None if inside => out.extend(line.strip_prefix("$ ").map(str::to_owned)),
            None => {}
        }
    }
    out
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(
        commands.len() > 10,
        "the README lost its commands: {commands:?}"
    );
    assert!(commands.iter().any(|c| c == TEST_COMMAND));
    let ci = std::fs::read_to_string(root.join(".ci/run")).unwrap();
    assert!(
        ci.contains(TEST_COMMAND),
        ".ci/run does not call the README's test command"
    );

    let _ = std::fs::remove_dir_all(root.join("target/sample"));
    let mut damaged = false;
    for command in commands.iter().filter(|c| *c != TEST_COMMAND) {
        let output = Command::new("bash")
            .args(["-c", command])
            .current_dir(&root)
            .env_remove("PGDATA")
            .output()
            .unwrap();
        damaged |= command.starts_with("truncate ");
        // After the damage, exit code 1 is what the README promises of an audit that reads pages or sizes.
        let audit = command.contains("audit") && command.contains("target/sample") && damaged;
        let wanted = i32::from(audit && !command.contains("--level files"));
        assert_eq!(
            output.status.code(),
            Some(wanted),
            "{command}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        if audit && wanted == 1 && !command.contains("--quiet") {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("relation.truncated"), "{command}\n{text}");
        }
    }
}
