//! The content of values: every type that has a rule, orders and hash codes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgfsck_format::Oid;
use pgfsck_format::datum::array::Array;
use pgfsck_format::datum::compare::Order;
use pgfsck_format::datum::text::Charset;
use pgfsck_format::datum::{bits, dates, jsonb, numeric, ranges, tsvector};
use pgfsck_format::varlena::Varlena;

fuzz_target!(|data: &[u8]| {
    let Some((fmt, rest)) = pgfsck_fuzz::format(data) else {
        return;
    };
    let Some(([kind, split], content)) = rest.split_first_chunk() else {
        return;
    };
    let (order, typid) = (fmt.order, Oid(3904 + u32::from(*split)));
    for set in [
        Charset::AnyByte,
        Charset::Utf8,
        Charset::EucJp,
        Charset::EucKr,
        Charset::EucTw,
    ] {
        let _ = (set.check(content).is_ok(), set.check_name(content).is_ok());
    }
    let _ = match kind % 12 {
        0 => numeric::check_numeric(content, order).is_ok(),
        1 => jsonb::check_jsonb(content, Charset::Utf8, fmt).is_ok(),
        2 => tsvector::check_tsvector(content, Charset::Utf8, order).is_ok(),
        3 => bits::check_bits(content, order).is_ok(),
        4 => bits::check_inet(content).is_ok(),
        5 => bits::check_points(content, 12, order).is_ok(),
        6 => ranges::check_range(content, typid, order).is_ok(),
        7 => ranges::check_multirange(content, typid, order).is_ok(),
        8 => Array::decode(content, fmt).is_ok(),
        9 => dates::check_date(content, order).is_ok(),
        10 => dates::check_timestamp(content, order).is_ok(),
        _ => dates::check_time(content, order).is_ok(),
    };
    if let Ok((value, taken)) = Varlena::decode(content, fmt) {
        assert!(taken <= content.len());
        if let Ok(raw) = value.detoast_inline(1 << 20) {
            assert!(raw.len() <= 1 << 20);
        }
    }
    // A law of every order: turned around, it says the opposite.
    let (a, b) = content.split_at(usize::from(*split).min(content.len()));
    for by in Order::ALL {
        let there = by.compare_bytes(a, b, order);
        assert_eq!(
            there,
            by.compare_bytes(b, a, order)
                .map(std::cmp::Ordering::reverse),
            "{by:?}"
        );
        if let (Some(x), Some(y)) = (by.abbreviate(a, order), by.abbreviate(b, order))
            && x != y
        {
            assert_eq!(there, Some(x.cmp(&y)), "{by:?}");
        }
    }
});
