//! Single pages: a changed byte, zeros, another page's content.

use super::Recipe;
use super::control::{forget_log, without_checksums};
use crate::common::{BLOCK, Ground};

/// Fields of the page header.
const PD_FLAGS: usize = 10;
const PD_LOWER: usize = 12;
const PD_UPPER: usize = 14;
const PD_SPECIAL: usize = 16;

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "a byte of a table is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "keyed", "", 3, 5000),
    },
    Recipe {
        name: "a byte of a page header is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "keyed", "", 3, 12),
    },
    Recipe {
        name: "a checksum is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "keyed", "", 3, 8),
    },
    Recipe {
        name: "a byte of an index is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "keyed_pkey", "", 2, 8000),
    },
    Recipe {
        name: "a byte of an index's root is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "keyed_pkey", "", 3, 8000),
    },
    Recipe {
        name: "a byte of a free space map is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "both", "_fsm", 0, 4000),
    },
    Recipe {
        name: "a byte of a visibility map is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "both", "_vm", 0, 100),
    },
    Recipe {
        name: "a byte of an init fork is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "unlogged_pkey", "_init", 0, 30),
    },
    Recipe {
        name: "a byte of an unlogged table is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "unlogged", "", 1, 5000),
    },
    Recipe {
        name: "a byte of a table in a tablespace is changed",
        code: "page.checksum-mismatch",
        apply: |g| flip(g, "in_space", "", 1, 5000),
    },
    Recipe {
        name: "a byte of a catalog is changed",
        code: "page.checksum-mismatch",
        apply: |g| {
            let path = g.relation("pg_catalog", "pg_attribute").path.clone();
            g.flip(&path, 7 * BLOCK + 6000, 0x20);
            g.expect("page.checksum-mismatch", &path, Some(7));
        },
    },
    Recipe {
        name: "a page is written over another of its table",
        code: "page.checksum-mismatch",
        apply: |g| {
            let path = g.probe("keyed");
            g.damage(&path)
                .misdirect_block(&path, 2, 5, BLOCK)
                .expect("written");
            g.expect("page.checksum-mismatch", &path, Some(5));
        },
    },
    Recipe {
        name: "half a page is another's: a torn write",
        code: "page.checksum-mismatch",
        apply: |g| {
            let path = g.probe("keyed");
            let half = g.page(&path, 4)[4096..].to_vec();
            g.damage(&path)
                .overwrite(&path, 6 * BLOCK + 4096, &half)
                .expect("written");
            g.expect("page.checksum-mismatch", &path, Some(6));
        },
    },
    Recipe {
        name: "a sector of a page is zero",
        code: "page.checksum-mismatch",
        apply: |g| {
            let path = g.probe("keyed");
            g.damage(&path)
                .overwrite(&path, 6 * BLOCK + 7680, &[0; 512])
                .expect("written");
            g.expect("page.checksum-mismatch", &path, Some(6));
        },
    },
    Recipe {
        name: "the first sector of a page is zero",
        code: "page.zeroed",
        apply: |g| {
            // With it pd_upper: the server takes the page for a new one and checks no checksum.
            let path = g.probe("keyed");
            g.damage(&path)
                .overwrite(&path, 6 * BLOCK, &[0; 512])
                .expect("written");
            g.expect("page.zeroed", &path, Some(6));
        },
    },
    Recipe {
        name: "a page's pd_upper is zero",
        code: "page.zeroed",
        apply: |g| pd_upper_zero(g, "keyed"),
    },
    Recipe {
        name: "an index page's pd_upper is zero",
        code: "page.zeroed",
        apply: |g| pd_upper_zero(g, "keyed_pkey"),
    },
    Recipe {
        name: "the pd_upper of a page without witnesses is zero",
        code: "page.zeroed",
        apply: |g| pd_upper_zero(g, "plain"),
    },
    Recipe {
        name: "a page of a table with an index is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "keyed", 5, "error"),
    },
    Recipe {
        name: "the first page of a table with an index is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "keyed", 0, "error"),
    },
    Recipe {
        name: "the last page of a table with an index is zero",
        code: "page.zeroed",
        apply: |g| {
            let last = g.relation("probe", "keyed").pages.main - 1;
            zeroed(g, "keyed", last, "error");
        },
    },
    Recipe {
        name: "a page of a table with a visibility map is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "vacuumed", 5, "error"),
    },
    Recipe {
        name: "a page of a table without witnesses is zero",
        code: "page.zeroed",
        apply: |g| {
            // An extension of the table that was interrupted leaves such a page too.
            forget_log(g);
            zeroed(g, "plain", 5, "note");
        },
    },
    Recipe {
        name: "a page of a table is zero, and the log has its content",
        code: "page.zeroed",
        apply: |g| zeroed(g, "plain", 5, "error"),
    },
    Recipe {
        name: "a leaf page of an index is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "keyed_pkey", 2, "error"),
    },
    Recipe {
        name: "the meta page of an index is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "keyed_pkey", 0, "error"),
    },
    Recipe {
        name: "the page of a sequence is zero",
        code: "page.zeroed",
        apply: |g| zeroed(g, "counter", 0, "error"),
    },
    Recipe {
        name: "a page of a catalog is zero",
        code: "page.zeroed",
        apply: |g| {
            let path = g.relation("pg_catalog", "pg_depend").path.clone();
            g.zero_block(&path, 4);
            g.expect("page.zeroed", &path, Some(4));
        },
    },
    Recipe {
        name: "a page of a TOAST table is zero",
        code: "page.zeroed",
        apply: |g| {
            let path = g.toast_of("probe", "toasted").path.clone();
            g.zero_block(&path, 4);
            g.expect("page.zeroed", &path, Some(4));
        },
    },
    Recipe {
        name: "a page of pg_class is zero",
        code: "file.unclaimed",
        apply: |g| {
            // The relations whose rows are gone have files that nobody claims any more: notes.
            let path = g.relation("pg_catalog", "pg_class").path.clone();
            g.zero_block(&path, 0);
            g.expect("page.zeroed", &path, Some(0));
        },
    },
    Recipe {
        name: "pd_lower is beyond pd_upper, with a right checksum",
        code: "page.header-invalid",
        apply: |g| {
            header(g, |page| {
                let upper = u16::from_le_bytes([page[PD_UPPER], page[PD_UPPER + 1]]);
                page[PD_LOWER..PD_LOWER + 2].copy_from_slice(&(upper + 8).to_le_bytes());
            });
        },
    },
    Recipe {
        name: "pd_special is beyond the page, with a right checksum",
        code: "page.header-invalid",
        apply: |g| {
            header(g, |page| {
                page[PD_SPECIAL..PD_SPECIAL + 2].copy_from_slice(&9000_u16.to_le_bytes())
            })
        },
    },
    Recipe {
        name: "pd_flags has an unknown flag, with a right checksum",
        code: "page.header-invalid",
        apply: |g| header(g, |page| page[PD_FLAGS + 1] |= 0x80),
    },
    Recipe {
        name: "a page has another layout version, with a right checksum",
        code: "page.header-invalid",
        apply: |g| header(g, |page| page[18] = 3),
    },
    Recipe {
        name: "a page is another of its table, and there are no checksums",
        code: "page.misplaced",
        apply: |g| {
            without_checksums(g);
            let path = g.probe("keyed");
            g.damage(&path)
                .misdirect_block(&path, 2, 5, BLOCK)
                .expect("written");
            // A right checksum would prove the place; tuples alone do not.
            g.expect_as("warning", "page.misplaced", &path, Some(5));
        },
    },
];

fn flip(g: &mut Ground, name: &str, fork: &str, block: u64, offset: u64) {
    let path = g.probe(name) + fork;
    g.flip(&path, block * BLOCK + offset, 0x08);
    g.expect("page.checksum-mismatch", &path, Some(block));
}

fn pd_upper_zero(g: &mut Ground, name: &str) {
    let path = g.probe(name);
    g.damage(&path)
        .overwrite(&path, 4 * BLOCK + PD_UPPER as u64, &[0; 2])
        .expect("written");
    g.expect("page.zeroed", &path, Some(4));
}

fn zeroed(g: &mut Ground, name: &str, block: u64, severity: &str) {
    let path = g.probe(name);
    g.zero_block(&path, block);
    g.expect_as(severity, "page.zeroed", &path, Some(block));
}

fn header(g: &mut Ground, edit: impl FnOnce(&mut [u8])) {
    let path = g.probe("keyed");
    g.edit_page(&path, 5, edit);
    g.expect("page.header-invalid", &path, Some(5));
}
