//! The whole program against real clusters: healthy ones, on which it must be silent, and damaged
//! ones, on which it must say what happened, and nothing else.

mod backups;
mod chains;
mod clean;
mod common;
mod contract;
mod hostile;
mod losses;
mod not_stopped;
mod orphans;
mod random_flips;
mod recipes;
mod recovery;
mod untouched;
mod verifybackup;
mod wal;
mod xid;
mod zoo;
