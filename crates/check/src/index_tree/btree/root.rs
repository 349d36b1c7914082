//! Where a B-tree begins: the meta page against the page that is marked as the root (`_bt_getroot`,
//! `access/nbtree/nbtpage.c`; `bt_check_level_from_leftmost` of `contrib/amcheck/verify_nbtree.c`).

use super::record::{Pages, State};
use super::siblings::{Agreed, wrong};
use crate::held::Held;
use crate::index_tree::End;
use pgfsck_format::access::btree::{BtreeMeta, flags};

/// Where the tree begins.
pub(super) enum Root {
    At(u32),
    /// The index is empty.
    Empty,
    /// Nobody knows.
    None,
}

/// What the root is looked for in.
pub(super) struct Start<'s> {
    pub(super) pages: &'s Pages,
    pub(super) agreed: &'s Agreed,
    pub(super) end: &'s End<'s>,
}

impl Start<'_> {
    /// The root, by the meta page and by the page that is marked so.
    pub(super) fn root(&self, meta: Option<&BtreeMeta>, held: &mut Held) -> Root {
        let mut marked = self
            .pages
            .iter()
            .filter(|r| r.state == State::Live && r.has(flags::ROOT));
        let first = marked.next().map(|r| r.block);
        let only = first.filter(|_| marked.next().is_none());
        let or_marked = only.map_or(Root::None, Root::At);
        let Some(meta) = meta else { return or_marked };
        let wrong_meta =
            |what: &str, have: String, expect: String| wrong(self.end, 0, what, have, expect);
        let block =
            |b: Option<u32>| b.map_or("a page of the tree".to_owned(), |b| format!("block {b}"));
        if meta.root.0 == 0 {
            let Some(live) = self.pages.iter().find(|r| r.state == State::Live) else {
                return Root::Empty;
            };
            let what = "the meta page has no root, and there are pages of a tree";
            let expect = block(only.or(Some(live.block)));
            held.push(wrong_meta(what, "no root".to_owned(), expect));
            return or_marked;
        }
        let Some(root) = self.pages.get(meta.root.0) else {
            return or_marked; // beyond the end, which is reported
        };
        let have = format!("block {}", root.block);
        match root.state {
            State::Lost => return Root::None,
            State::Live if root.has(flags::ROOT) || root.is_split() => {}
            State::Live if first.is_none() => held.push(wrong(
                self.end,
                root.block,
                "the root is not marked as one",
                format!("flags {:#06x}", root.flags),
                format!("flags {:#06x}", root.flags | flags::ROOT),
            )),
            _ => {
                let what = "the meta page leads to a root that is none";
                held.push(wrong_meta(what, have, block(only)));
                return or_marked;
            }
        }
        if let Some(other) = self
            .pages
            .iter()
            .find(|r| r.state == State::Live && r.has(flags::ROOT) && r.block != root.block)
        {
            held.push(wrong(
                self.end,
                other.block,
                "the page is marked as the root, and is not",
                format!("flags {:#06x}", other.flags),
                have,
            ));
        }
        let level = self.agreed.level_of(root);
        if level != meta.level {
            let what = "the root is on another level than the meta page says";
            held.push(wrong_meta(
                what,
                format!("level {}", meta.level),
                format!("level {level}"),
            ));
        } else {
            self.fast_root(meta, held);
        }
        Root::At(root.block)
    }

    /// Where searches start: the leftmost page of its level. It may be a page that has been deleted since
    /// (`_bt_getroot` steps over it).
    fn fast_root(&self, meta: &BtreeMeta, held: &mut Held) {
        let Some(page) = self.pages.get(meta.fast_root.0) else {
            return; // beyond the end, which is reported
        };
        let level = self.agreed.level_of(page);
        let (have, expect) = match page.state {
            State::Meta => ("no block".to_owned(), "a page of the tree".to_owned()),
            State::Live if level != meta.fast_level => (
                format!("level {}", meta.fast_level),
                format!("level {level}"),
            ),
            State::Live if self.agreed.prev_of(page) != 0 => {
                let have = format!(
                    "block {}, whose left sibling is block {}",
                    page.block, page.prev
                );
                (have, "the first page of a level".to_owned())
            }
            _ => return,
        };
        let what = "the meta page's fast root is none";
        held.push(wrong(self.end, 0, what, have, expect));
    }
}
