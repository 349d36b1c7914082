//! Pages of the transaction logs, read on demand and kept in a small cache (`access/transam/slru.c`).

use pgfsck_format::ClusterFormat;
use pgfsck_format::slru::{PAGES_PER_SEGMENT, Slru};
use pgfsck_volume::{VolPath, Volume};
use std::sync::{Arc, Mutex, PoisonError};

/// How many pages one cache holds.
const SLOTS: u64 = 64;

/// One cached page; without content if it cannot be read.
#[derive(Debug)]
struct Slot {
    page: u64,
    content: Option<Arc<[u8]>>,
}

/// The pages of one log.
///
/// The cache is direct-mapped (a page has one place in it): whoever asks in no order reads a page
/// again at worst, and the memory stays at 64 pages.
#[derive(Debug)]
pub(super) struct SlruPages {
    slru: Slru,
    fmt: ClusterFormat,
    slots: Vec<Mutex<Option<Slot>>>,
}

impl SlruPages {
    pub(super) fn new(slru: Slru, fmt: ClusterFormat) -> Self {
        Self {
            slru,
            fmt,
            slots: (0..SLOTS).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// The page that holds the entry of `id`, and the entry's number in it; `None` if its segment is
    /// missing, ends before it or cannot be read.
    pub(super) fn entry(&self, volume: &dyn Volume, id: u64) -> Option<(Arc<[u8]>, u64)> {
        let place = self.slru.locate(id, self.fmt)?;
        let page = place.segment * PAGES_PER_SEGMENT + place.page_in_segment;
        let slot = usize::try_from(page % SLOTS).ok()?;
        let mut slot = self
            .slots
            .get(slot)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|s| s.page != page) {
            let content = self.read(volume, place.segment, place.page_offset(self.fmt));
            *slot = Some(Slot { page, content });
        }
        let content = slot.as_ref()?.content.clone()?;
        Some((content, place.entry))
    }

    fn read(&self, volume: &dyn Volume, segment: u64, offset: u64) -> Option<Arc<[u8]>> {
        let name = self.slru.segment_name(segment, self.fmt);
        let path = VolPath::new(self.slru.dir(self.fmt)).join(name);
        let file = volume.open(&path).ok()?;
        let mut bytes = vec![0; self.fmt.block_len()];
        let n = file.read_at(&mut bytes, offset).ok()?;
        (n == bytes.len()).then(|| bytes.into())
    }
}
