//! Damage below the checksum: pages that are whole, with a right checksum, and say something wrong,
//! as bad memory, a lost write or a software error leave them.

use super::Recipe;

/// `PD_ALL_VISIBLE` in `pd_flags`.
const ALL_VISIBLE: u8 = 0x04;

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "a line pointer is not aligned",
        code: "heap.line-pointer-invalid",
        apply: |g| {
            let path = g.probe("keyed");
            g.edit_page(&path, 3, |page| page[item_at(5)] ^= 0x01);
            g.expect("heap.line-pointer-invalid", &path, Some(3));
        },
    },
    Recipe {
        name: "a line pointer leads into the free space",
        code: "heap.line-pointer-invalid",
        apply: |g| {
            let path = g.probe("keyed");
            g.edit_page(&path, 3, |page| {
                let item = Item::of(page, 5);
                Item { offset: 24, ..item }.put(page, 5);
            });
            g.expect("heap.line-pointer-invalid", &path, Some(3));
        },
    },
    Recipe {
        name: "a tuple's data begins at the wrong byte",
        code: "heap.tuple-invalid",
        apply: |g| {
            let path = g.probe("keyed");
            // t_hoff is the last byte of the fixed header.
            g.edit_page(&path, 3, |page| page[tuple_at(page, 5) + 22] = 32);
            g.expect("heap.tuple-invalid", &path, Some(3));
        },
    },
    Recipe {
        name: "a tuple has more columns than its table",
        code: "heap.tuple-invalid",
        apply: |g| {
            let path = g.probe("keyed");
            // The number of columns is in the lower bits of t_infomask2.
            g.edit_page(&path, 3, |page| page[tuple_at(page, 5) + 18] = 9);
            g.expect("heap.tuple-invalid", &path, Some(3));
        },
    },
    Recipe {
        name: "a value leaves its tuple",
        code: "heap.attribute-invalid",
        apply: |g| {
            let path = g.probe("keyed");
            // After the header and an integer: the short length of a text, odd, of 127 bytes at most.
            g.edit_page(&path, 3, |page| page[tuple_at(page, 5) + 24 + 4] = 0xFF);
            g.expect("heap.attribute-invalid", &path, Some(3));
        },
    },
    Recipe {
        name: "a page of an index is a table's",
        code: "index.page-invalid",
        apply: |g| {
            let (table, index) = (g.probe("keyed"), g.probe("keyed_pkey"));
            let heap = g.page(&table, 1);
            g.edit_page(&index, 2, |page| page.copy_from_slice(&heap));
            g.expect("index.page-invalid", &index, Some(2));
        },
    },
    Recipe {
        name: "an index entry leads to no row",
        code: "index.tid-invalid",
        apply: |g| {
            let index = g.probe("keyed_pkey");
            // A page of this table has some 185 rows.
            g.edit_page(&index, 1, |page| {
                let at = Item::of(page, 3).offset + 4;
                page[at..at + 2].copy_from_slice(&1000_u16.to_le_bytes());
            });
            g.expect("index.tid-invalid", &index, Some(1));
        },
    },
    Recipe {
        name: "a downlink of an index leads to its meta page",
        code: "index.link-invalid",
        apply: |g| {
            // The root of this index, with a leaf below each of its items.
            let index = g.probe("keyed_pkey");
            g.edit_page(&index, 3, |page| {
                let at = Item::of(page, 2).offset;
                page[at..at + 4].fill(0);
            });
            g.expect("index.link-invalid", &index, Some(3));
        },
    },
    Recipe {
        name: "a page is marked all-visible in the map only",
        code: "vm.bit-invalid",
        apply: |g| {
            let path = g.probe("both");
            g.edit_page(&path, 4, |page| {
                assert!(page[10] & ALL_VISIBLE != 0, "the page was vacuumed");
                page[10] &= !ALL_VISIBLE;
            });
            g.expect("vm.bit-invalid", &(path + "_vm"), Some(0));
        },
    },
    Recipe {
        name: "a page is marked all-frozen, and not all-visible",
        code: "vm.bit-invalid",
        apply: |g| {
            let path = g.probe("both") + "_vm";
            g.edit_page(&path, 0, |page| {
                assert_eq!(page[24], 0xFF, "the table is frozen");
                page[24] = 0xFB;
            });
            g.expect("vm.bit-invalid", &path, Some(0));
        },
    },
    Recipe {
        name: "a sequence has lost its magic",
        code: "sequence.invalid",
        apply: |g| {
            let path = g.probe("counter");
            g.edit_page(&path, 0, |page| {
                let special = usize::from(u16::from_le_bytes([page[16], page[17]]));
                page[special] ^= 0xFF;
            });
            g.expect("sequence.invalid", &path, Some(0));
        },
    },
    Recipe {
        name: "pg_attribute describes pg_class otherwise than this major does",
        code: "catalog.layout-unknown",
        apply: |g| {
            let path = g.relation("pg_catalog", "pg_attribute").path.clone();
            // attrelid and attname; attlen follows atttypid, and before 17 attstattarget.
            let mut wanted = 1259_u32.to_le_bytes().to_vec();
            wanted.extend(b"relpages\0");
            let attlen = if g.base.major >= 17 { 72 } else { 76 };
            let mut found = 0;
            for block in 0..g.blocks(&path) {
                let page = g.page(&path, block);
                let Some(at) = page.windows(wanted.len()).position(|bytes| bytes == wanted) else {
                    continue;
                };
                g.edit_page(&path, block, |page| {
                    assert_eq!(page[at + attlen], 4, "an integer");
                    page[at + attlen] = 8;
                });
                found += 1;
            }
            assert_eq!(found, 1, "the row of relpages");
            let dir = g.database_dir("used");
            g.expect("catalog.layout-unknown", &dir, None);
        },
    },
    Recipe {
        name: "a database is marked as being dropped",
        code: "database.invalid",
        apply: |g| {
            let name = "Odd \"name\" é";
            let mut relations = g.base.truth.relations.iter();
            let path = relations
                .find(|r| r.database.oid == 0 && r.name == "pg_database")
                .expect("a catalog")
                .path
                .clone();
            // From datname to datconnlimit: until 15 the collations lay between as names.
            let connlimit = if g.base.major >= 15 { 76 } else { 204 };
            let mut wanted = name.as_bytes().to_vec();
            wanted.push(0);
            let page = g.page(&path, 0);
            let at = page
                .windows(wanted.len())
                .position(|bytes| bytes == wanted)
                .expect("the row");
            g.edit_page(&path, 0, |page| {
                let limit = &mut page[at + connlimit..][..4];
                assert_eq!(limit, [0xFF; 4], "no limit");
                limit.copy_from_slice(&(-2_i32).to_le_bytes());
            });
            let dir = g.database_dir(name);
            g.expect_as("warning", "database.invalid", &dir, None);
        },
    },
];

/// Where line pointer `number`, counted from 1, lies.
fn item_at(number: usize) -> usize {
    24 + 4 * (number - 1)
}

/// Where the tuple of a line pointer begins.
fn tuple_at(page: &[u8], number: usize) -> usize {
    Item::of(page, number).offset
}

/// A line pointer: 15 bits of offset, 2 of flags, 15 of length.
struct Item {
    offset: usize,
    rest: u32,
}

impl Item {
    fn of(page: &[u8], number: usize) -> Item {
        let at = item_at(number);
        let word = u32::from_le_bytes(page[at..at + 4].try_into().expect("four bytes"));
        Item {
            offset: (word & 0x7FFF) as usize,
            rest: word & !0x7FFF,
        }
    }

    fn put(&self, page: &mut [u8], number: usize) {
        let word = self.rest | self.offset as u32;
        page[item_at(number)..][..4].copy_from_slice(&word.to_le_bytes());
    }
}
