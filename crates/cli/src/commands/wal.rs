//! `pgfsck wal`: the write-ahead log in the data directory, its segments and its records.
//!
//! The log is the one that ends on the timeline of the last checkpoint, with what is there of its
//! ancestors. A reached end is not an error; a log that breaks off before the last checkpoint is.

mod image;
mod list;
mod pages;
mod records;
mod stats;

use super::{open, open_archives, read_control};
use crate::args::{WalArgs, WalCommand, WalInput};
use crate::output::complain;
use anyhow::{Context, anyhow, bail};
use pgfsck_check::wal_log::WalLog;
use pgfsck_format::control::ControlFile;
use pgfsck_format::wal::{RawRecord, StopReason, WalEnd, WalReader};
use pgfsck_format::{ClusterFormat, Lsn};
use pgfsck_volume::{Directory, VolPath, Volume};
use std::process::ExitCode;

/// Runs one of the commands.
pub fn run(args: &WalArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        WalCommand::Records(args) => records::run(args),
        WalCommand::List(args) => list::run(args),
        WalCommand::Stats(args) => stats::run(args),
        WalCommand::Pages(args) => pages::run(args),
        WalCommand::Image(args) => image::run(args),
    }
}

/// Where a cluster's log is.
struct Places {
    volume: Box<dyn Volume>,
    archives: Vec<Directory>,
}

impl Places {
    /// Opens what was named.
    fn open(input: &WalInput) -> anyhow::Result<Self> {
        Ok(Self {
            volume: open(&input.data, input.datadir.as_deref())?,
            archives: open_archives(&input.archives, &input.data)?,
        })
    }
}

/// A cluster's log, ready to be read.
struct Wal<'a> {
    fmt: ClusterFormat,
    control: ControlFile,
    log: WalLog<'a>,
}

/// What ended the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    /// Where the next record would begin.
    at: Lsn,
    /// What stands there; `None` if no more was wanted.
    why: Option<WalEnd>,
}

impl<'a> Wal<'a> {
    /// The log of the data directory and the archives.
    fn open(places: &'a Places) -> anyhow::Result<Self> {
        let volume = places.volume.as_ref();
        let (recognised, fmt) = read_control(volume)?;
        let control = recognised.control;
        let timeline = control
            .check_point_copy
            .this_timeline
            .max(control.min_recovery_point_tli);
        let log = WalLog::list(volume, fmt, timeline, &places.archives)
            .with_context(|| format!("could not read {}", VolPath::new(fmt.version().wal_dir)))?;
        Ok(Self { fmt, control, log })
    }

    /// Where the log begins: with the oldest segment from which on none is missing up to the last
    /// checkpoint, or with the oldest of all if that checkpoint's segment is not there.
    fn beginning(&self) -> anyhow::Result<Lsn> {
        let checkpoint = self.log.segment_of(self.control.check_point);
        let newest = self
            .log
            .newest()
            .ok_or_else(|| anyhow!("there is no segment of this timeline"))?;
        let oldest = self
            .log
            .oldest_before(checkpoint)
            .or_else(|| self.log.oldest_before(newest));
        Ok(self.log.start_of(oldest.unwrap_or(newest)))
    }

    /// Calls `each` for every record that begins in the range, until it says no.
    fn read(
        &mut self,
        start: Option<Lsn>,
        end: Option<Lsn>,
        mut each: impl FnMut(&RawRecord<'_>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Ended> {
        let from = match start {
            Some(s) if self.log.file_of(self.log.segment_of(s)).is_some() => s,
            // Before the oldest segment there is nothing to skip.
            Some(s) => self.beginning()?.max(s),
            None => self.beginning()?,
        };
        let system_identifier = Some(self.control.system_identifier);
        let mut reader =
            match WalReader::at_first_record(&mut self.log, self.fmt, system_identifier, from) {
                Ok(reader) => reader,
                Err(stop) => match stop.why {
                    StopReason::End(why) => bail!(
                        "no record can be read from {from} on: {why} at {}",
                        stop.place
                    ),
                    StopReason::Source(e) => {
                        return Err(e).context("could not read the write-ahead log");
                    }
                },
            };
        loop {
            let at = reader.position();
            if end.is_some_and(|e| at >= e) {
                return Ok(Ended { at, why: None });
            }
            match reader.next_record() {
                Ok(raw) if start.is_some_and(|s| raw.lsn < s) => {}
                Ok(raw) if end.is_some_and(|e| raw.lsn >= e) => return Ok(Ended { at, why: None }),
                Ok(raw) => {
                    if !each(&raw)? {
                        return Ok(Ended {
                            at: raw.end,
                            why: None,
                        });
                    }
                }
                Err(stop) => match stop.why {
                    StopReason::End(why) => {
                        return Ok(Ended {
                            at: stop.lsn,
                            why: Some(why),
                        });
                    }
                    StopReason::Source(e) => {
                        return Err(e).context("could not read the write-ahead log");
                    }
                },
            }
        }
    }

    /// Says where the log ended; exit code 1 if the last checkpoint lies behind.
    fn conclude(&self, ended: Ended) -> ExitCode {
        let Some(why) = ended.why else {
            return ExitCode::SUCCESS;
        };
        let checkpoint = self.control.check_point;
        if ended.at <= checkpoint {
            complain(&format!(
                "error: the log breaks off at {} ({why}), before the last checkpoint at {checkpoint}",
                ended.at
            ));
            return ExitCode::from(1);
        }
        complain(&format!("note: the log ends at {} ({why})", ended.at));
        ExitCode::SUCCESS
    }
}
