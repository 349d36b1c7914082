//! A tuple of a B-tree, as far as comparisons look at it.

use pgfsck_format::access::btree::{BtreeOpaque, TupleKind, classify, posting_tids};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::attribute::{AttributeShape, Attributes};
use pgfsck_format::{ClusterFormat, ItemPointer, OffsetNumber};

/// A tuple with the key columns that it has, and the heap TID that breaks ties.
#[derive(Debug, Clone, Copy)]
pub struct KeyTuple<'p> {
    tuple: IndexTuple<'p>,
    /// Key columns that are there; the others count as minus infinity.
    pub natts: usize,
    /// Of a leaf's entry the first heap TID, of a pivot the one at its end, if it has one.
    pub tid: Option<ItemPointer>,
    /// The last heap TID of a posting list.
    pub last_tid: Option<ItemPointer>,
    /// Where the key ends at the latest, in bytes.
    end: usize,
}

impl<'p> KeyTuple<'p> {
    /// The tuple in `bytes`, line pointer `number` of a page with `opaque`, of an index with `columns` key
    /// columns; `None` if it cannot be viewed.
    ///
    /// The first data item of an inner page counts as minus infinity in all columns, whatever its key
    /// (`_bt_compare`): a server before 11 keeps a count there that says otherwise.
    #[inline]
    #[must_use]
    pub fn new(
        bytes: &'p [u8],
        number: OffsetNumber,
        opaque: &BtreeOpaque,
        columns: usize,
        fmt: ClusterFormat,
    ) -> Option<Self> {
        let tuple = IndexTuple::new(bytes, fmt).ok()?;
        let end = tuple.size();
        let plain = |natts, tid| Self {
            tuple,
            natts,
            tid,
            last_tid: tid,
            end,
        };
        if !opaque.is_leaf() && number == opaque.first_data() {
            return Some(plain(0, None));
        }
        Some(match classify(&tuple, number, opaque, fmt) {
            TupleKind::Plain(tid) => plain(columns, Some(tid)),
            TupleKind::Posting { count, array_at } => {
                let tids = posting_tids(&tuple, count, array_at, fmt.order).ok()?;
                Self {
                    tid: tids.clone().next(),
                    last_tid: tids.last(),
                    end: end.min(array_at as usize),
                    ..plain(columns, None)
                }
            }
            TupleKind::Pivot {
                key_attributes,
                heap_tid,
                ..
            } => plain(
                key_attributes.map_or(columns, |n| usize::from(n).min(columns)),
                heap_tid,
            ),
        })
    }

    /// The same tuple with its last heap TID in place of its first.
    #[inline]
    #[must_use]
    pub fn at_its_last(self) -> Self {
        Self {
            tid: self.last_tid,
            ..self
        }
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &'p [u8] {
        self.tuple.bytes()
    }

    /// The tuple as it lies in its page.
    #[inline]
    pub(super) fn tuple(&self) -> &IndexTuple<'p> {
        &self.tuple
    }

    /// Its key columns, the first on.
    pub(super) fn values<'s>(&self, shapes: &'s [AttributeShape]) -> Attributes<'p, 's> {
        self.tuple.attributes(shapes, self.natts, self.end)
    }
}
