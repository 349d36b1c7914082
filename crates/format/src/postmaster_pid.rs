//! `postmaster.pid`: the lock file of a running server, or of one that was killed.
//!
//! `CreateLockFile` and `AddToDataDirLockFile` (`utils/init/miscinit.c`, `utils/pidfile.h`). Written
//! line by line while the server starts, removed when it stops; a file that is there proves only that a
//! server ran and did not stop cleanly, or still runs.
//!
//! | line | what |
//! |---|---|
//! | 1 | process number; negative for a standalone backend |
//! | 2 | data directory |
//! | 3 | start time, in seconds since 1970 |
//! | 4 | port |
//! | 5 | directory of the Unix socket, may be empty |
//! | 6 | first listen address, may be empty |
//! | 7 | key and id of the shared memory segment, absent where there is none |
//! | 8 | 10+: `starting`, `stopping`, `ready` or `standby`, padded to eight characters |

use crate::error::DecodeError;

/// Line 8: how far the server has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerStatus {
    /// `starting`.
    Starting,
    /// `stopping`.
    Stopping,
    /// `ready`.
    Ready,
    /// `standby`: ready, and not accepting connections.
    Standby,
}

/// What the file says. Lines that are not there yet, or do not read as they must, are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostmasterPid {
    /// The process number; negative for a standalone backend.
    pub pid: i64,
    /// The data directory as the server was given it, in the server's file name encoding.
    pub data_directory: Option<Vec<u8>>,
    /// Start time, in seconds since 1970.
    pub start_time: Option<i64>,
    /// Port.
    pub port: Option<u16>,
    /// Directory of the Unix socket; empty if it has none.
    pub socket_directory: Option<Vec<u8>>,
    /// First listen address; empty if it listens on none.
    pub listen_address: Option<Vec<u8>>,
    /// Key and id of the System V shared memory segment.
    pub shared_memory: Option<(u64, u64)>,
    /// How far the server has got (10+).
    pub status: Option<ServerStatus>,
}

impl PostmasterPid {
    /// Reads the file's contents.
    ///
    /// # Errors
    /// [`DecodeError::Syntax`] if the first line is not a process number: the file is empty (a server
    /// was killed while it made it), or not a lock file.
    pub fn parse(contents: &[u8]) -> Result<Self, DecodeError> {
        let mut lines = contents.split(|c| *c == b'\n');
        let mut line = || lines.next().map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let pid = line()
            .and_then(number)
            .filter(|pid| *pid != 0)
            .ok_or(DecodeError::Syntax {
                what: "postmaster.pid",
                offset: 0,
            })?;
        // The last line ends with a newline, so that an empty rest is no line.
        let mut text = || line().map(<[u8]>::to_vec);
        let data_directory = text().filter(|d| !d.is_empty());
        let start_time = text().and_then(|t| number(&t));
        let port = text()
            .and_then(|t| number(&t))
            .and_then(|n| u16::try_from(n).ok());
        let socket_directory = text();
        let listen_address = text();
        let shared_memory = text().and_then(|t| two_numbers(&t));
        let status = text().and_then(|t| match t.trim_ascii() {
            b"starting" => Some(ServerStatus::Starting),
            b"stopping" => Some(ServerStatus::Stopping),
            b"ready" => Some(ServerStatus::Ready),
            b"standby" => Some(ServerStatus::Standby),
            _ => None,
        });
        Ok(Self {
            pid,
            data_directory,
            start_time,
            port,
            socket_directory,
            listen_address,
            shared_memory,
            status,
        })
    }

    /// Whether a standalone backend (`postgres --single`) wrote it, not a postmaster.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.pid < 0
    }

    /// The process to look for.
    #[must_use]
    pub fn process(&self) -> u64 {
        self.pid.unsigned_abs()
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn two_numbers(text: &[u8]) -> Option<(u64, u64)> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let pair = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_eight_lines() {
        let p = PostmasterPid::parse(
            b"4711\n/var/lib/postgresql/17/main\n1763625392\n5432\n/var/run/postgresql\n127.0.0.1\n  5432001   1234567\nready   \n",
        )
        .unwrap();
        assert_eq!((p.pid, p.process(), p.is_standalone()), (4711, 4711, false));
        assert_eq!(
            p.data_directory.as_deref(),
            Some(b"/var/lib/postgresql/17/main".as_slice())
        );
        assert_eq!((p.start_time, p.port), (Some(1_763_625_392), Some(5432)));
        assert_eq!(
            p.socket_directory.as_deref(),
            Some(b"/var/run/postgresql".as_slice())
        );
        assert_eq!(p.listen_address.as_deref(), Some(b"127.0.0.1".as_slice()));
        assert_eq!(p.shared_memory, Some((5_432_001, 1_234_567)));
        assert_eq!(p.status, Some(ServerStatus::Ready));
    }

    #[test]
    fn reads_what_9_6_writes() {
        let p = PostmasterPid::parse(b"99\n/data\n1763625392\n5433\n\n*\n        1         0\n")
            .unwrap();
        assert_eq!(p.socket_directory.as_deref(), Some(b"".as_slice()));
        assert_eq!((p.shared_memory, p.status), (Some((1, 0)), None));
    }

    #[test]
    fn reads_what_is_there() {
        let p = PostmasterPid::parse(b"-42\n/pglite/data\n").unwrap();
        assert_eq!((p.pid, p.process(), p.is_standalone()), (-42, 42, true));
        assert_eq!((p.start_time, p.port, p.status), (None, None, None));
        assert_eq!(PostmasterPid::parse(b"12").unwrap().pid, 12);
        assert_eq!(
            PostmasterPid::parse(b"12\r\n/d\r\n")
                .unwrap()
                .data_directory
                .as_deref(),
            Some(b"/d".as_slice())
        );
        for bad in ["", "\n", "x\n", "0\n", "12 13\n"] {
            assert!(PostmasterPid::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = PostmasterPid::parse(&bytes);
        }
    }
}
