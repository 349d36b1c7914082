//! The pages of a gin index against each other.

use super::{End, TreeCheck};
use crate::finding::Place;
use crate::held::Held;
use pgfsck_format::BlockNumber;
use pgfsck_format::page::Page;

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct GinTree {}

impl TreeCheck for GinTree {
    fn page(&mut self, _page: &Page<'_>, _at: &Place, _held: &mut Held) {}

    fn lost(&mut self, _block: BlockNumber) {}

    fn merge(&mut self, _later: Self) {}

    fn finish(self, _end: &End<'_>, _held: &mut Held) {}
}
