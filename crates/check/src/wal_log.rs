//! The segments that lie in the data directory, as one log.
//!
//! A log ends on one timeline and goes back over its ancestors (`pg_wal/TLI.history`). The segment in
//! which a timeline was left has been copied to the new one, whose file is the one to read. Files
//! ending in `.partial` and segments of other timelines are not part of it.

use pgfsck_format::wal::{SegmentName, WalFileName, WalSource, history};
use pgfsck_format::{ClusterFormat, Lsn, TimeLineId};
use pgfsck_volume::{EntryKind, File, VolPath, Volume, VolumeError};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

/// More than any timeline history file has.
const HISTORY_LIMIT: u64 = 1 << 20;

/// The log of one cluster: which file holds which segment.
pub struct WalLog<'a> {
    volume: &'a dyn Volume,
    fmt: ClusterFormat,
    dir: VolPath,
    files: BTreeMap<u64, SegmentName>,
    open: Option<(u64, File)>,
    bytes_read: u64,
}

/// A timeline, and the segments that may be its own.
struct Stretch {
    timeline: TimeLineId,
    first: u64,
    last: u64,
}

impl<'a> WalLog<'a> {
    /// The log that ends on `timeline`, with what is there of the timelines before.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list(
        volume: &'a dyn Volume,
        fmt: ClusterFormat,
        timeline: TimeLineId,
    ) -> Result<Self, VolumeError> {
        let dir = VolPath::new(fmt.version().wal_dir);
        let stretches = stretches(volume, &dir, timeline, fmt);
        let mut files: BTreeMap<u64, SegmentName> = BTreeMap::new();
        volume.list(&dir, &mut |entry| {
            let EntryKind::File { .. } = entry.kind else {
                return;
            };
            let Some(WalFileName::Segment(name)) = WalFileName::parse(entry.name.as_bytes()) else {
                return;
            };
            let Some(number) = name.number(fmt.wal_segment_bytes) else {
                return;
            };
            let ours = stretches
                .iter()
                .any(|s| s.timeline == name.timeline && s.first <= number && number <= s.last);
            // The segment in which a timeline was left is copied to the new one, whose file goes on.
            if ours
                && files
                    .get(&number)
                    .is_none_or(|f| f.timeline < name.timeline)
            {
                files.insert(number, name);
            }
        })?;
        Ok(Self {
            volume,
            fmt,
            dir,
            files,
            open: None,
            bytes_read: 0,
        })
    }

    /// The segment that an address lies in.
    #[must_use]
    pub fn segment_of(&self, at: Lsn) -> u64 {
        at.0.checked_div(u64::from(self.fmt.wal_segment_bytes))
            .unwrap_or(0)
    }

    /// The address of a segment's first byte.
    #[must_use]
    pub fn start_of(&self, segment: u64) -> Lsn {
        Lsn(segment.saturating_mul(u64::from(self.fmt.wal_segment_bytes)))
    }

    /// The file of a segment, if it is there.
    #[must_use]
    pub fn file_of(&self, segment: u64) -> Option<VolPath> {
        self.files
            .get(&segment)
            .map(|name| self.dir.join(name.to_string()))
    }

    /// The newest segment.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.files.keys().next_back().copied()
    }

    /// How many bytes of it have been read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The oldest segment from which on no file is missing up to `segment`, if that is there.
    #[must_use]
    pub fn oldest_before(&self, segment: u64) -> Option<u64> {
        let mut oldest = segment;
        self.files.get(&oldest)?;
        while let Some(before) = oldest.checked_sub(1)
            && self.files.contains_key(&before)
        {
            oldest = before;
        }
        Some(oldest)
    }
}

/// The timelines from the oldest ancestor to `timeline`, each with its segments.
fn stretches(
    volume: &dyn Volume,
    dir: &VolPath,
    timeline: TimeLineId,
    fmt: ClusterFormat,
) -> Vec<Stretch> {
    let name = WalFileName::History(timeline).to_string();
    let ancestors = volume
        .read_small(&dir.join(name), HISTORY_LIMIT)
        .ok()
        .and_then(|bytes| history::parse(&bytes).ok())
        .unwrap_or_default();
    let segment = |at: Lsn| {
        at.0.checked_div(u64::from(fmt.wal_segment_bytes))
            .unwrap_or(0)
    };
    let mut first = 0;
    let mut out = Vec::new();
    for ancestor in ancestors {
        let last = segment(ancestor.switch);
        out.push(Stretch {
            timeline: ancestor.timeline,
            first,
            last,
        });
        first = last;
    }
    out.push(Stretch {
        timeline,
        first,
        last: u64::MAX,
    });
    out
}

impl WalSource for WalLog<'_> {
    type Error = VolumeError;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, VolumeError> {
        let number = self.segment_of(at);
        if self.open.as_ref().is_none_or(|(n, _)| *n != number) {
            let Some(name) = self.files.get(&number) else {
                return Ok(0);
            };
            match self.volume.open(&self.dir.join(name.to_string())) {
                Ok(file) => self.open = Some((number, file)),
                Err(VolumeError::NotFound) => return Ok(0),
                Err(e) => return Err(e),
            }
        }
        let Some((_, file)) = &self.open else {
            return Ok(0);
        };
        let got = file.read_at(buf, at.0.saturating_sub(self.start_of(number).0))?;
        self.bytes_read = self.bytes_read.saturating_add(got as u64);
        Ok(got)
    }
}
