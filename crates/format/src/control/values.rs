//! The enumerated values of pg_control, as they stand in the file: numbers that no server writes are kept.

use std::fmt;

/// A C `bool` as it stands in the file; only 0 and 1 are values that a server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CBool(pub u8);

impl CBool {
    /// What a C program takes it for.
    #[must_use]
    pub fn get(self) -> bool {
        self.0 != 0
    }

    /// Whether it is 0 or 1.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 <= 1
    }
}

/// `DBState`: what the cluster was doing when pg_control was last written. The same numbers in every major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DbState {
    /// 0, `DB_STARTUP`: starting up.
    StartingUp,
    /// 1, `DB_SHUTDOWNED`: cleanly stopped; no recovery will run.
    ShutDown,
    /// 2, `DB_SHUTDOWNED_IN_RECOVERY`: a standby cleanly stopped.
    ShutDownInRecovery,
    /// 3, `DB_SHUTDOWNING`: the shutdown checkpoint was being made.
    ShuttingDown,
    /// 4, `DB_IN_CRASH_RECOVERY`: replaying its own WAL.
    InCrashRecovery,
    /// 5, `DB_IN_ARCHIVE_RECOVERY`: a standby or a restored backup.
    InArchiveRecovery,
    /// 6, `DB_IN_PRODUCTION`: running, or crashed, or copied while it ran.
    InProduction,
    /// A number that no server writes.
    Other(u32),
}

impl DbState {
    /// The state of that number.
    #[must_use]
    pub fn from_number(n: u32) -> Self {
        match n {
            0 => Self::StartingUp,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            n => Self::Other(n),
        }
    }

    /// The number in the file.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::StartingUp => 0,
            Self::ShutDown => 1,
            Self::ShutDownInRecovery => 2,
            Self::ShuttingDown => 3,
            Self::InCrashRecovery => 4,
            Self::InArchiveRecovery => 5,
            Self::InProduction => 6,
            Self::Other(n) => n,
        }
    }

    /// pg_controldata's words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::StartingUp => "starting up",
            Self::ShutDown => "shut down",
            Self::ShutDownInRecovery => "shut down in recovery",
            Self::ShuttingDown => "shutting down",
            Self::InCrashRecovery => "in crash recovery",
            Self::InArchiveRecovery => "in archive recovery",
            Self::InProduction => "in production",
            Self::Other(_) => "unrecognized status code",
        }
    }

    /// Whether the files are as a clean stop leaves them, of a primary or of a standby.
    #[must_use]
    pub fn is_clean_stop(self) -> bool {
        matches!(self, Self::ShutDown | Self::ShutDownInRecovery)
    }
}

impl fmt::Display for DbState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// `WalLevel` (`access/xlog.h`). The same numbers in every major from 9.6 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WalLevel {
    /// 0: enough for crash recovery only.
    Minimal,
    /// 1: enough for archiving and standbys.
    Replica,
    /// 2: and for logical decoding.
    Logical,
    /// A number that no server writes.
    Other(i32),
}

impl WalLevel {
    /// The level of that number.
    #[must_use]
    pub fn from_number(n: i32) -> Self {
        match n {
            0 => Self::Minimal,
            1 => Self::Replica,
            2 => Self::Logical,
            n => Self::Other(n),
        }
    }

    /// The number in the file.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Minimal => 0,
            Self::Replica => 1,
            Self::Logical => 2,
            Self::Other(n) => n,
        }
    }
}

impl fmt::Display for WalLevel {
    /// The setting's word, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minimal => f.write_str("minimal"),
            Self::Replica => f.write_str("replica"),
            Self::Logical => f.write_str("logical"),
            Self::Other(n) => write!(f, "{n}"),
        }
    }
}
