//! The small part of the zoo, of every major: what pgfsck says of a healthy cluster is what its server
//! says of it, and nothing is held against it. `pgfsck-fixtures zoo` visits all of it.

use pgfsck_fixtures::Stopped;
use pgfsck_fixtures::zoo::{self, Specimen, VARIANTS, Variant};

use crate::common::{fresh, new_dir, program, server, used};

macro_rules! for_each_major {
    ($($module:ident $major:literal)*) => {$(
        mod $module {
            #[test]
            fn shared() {
                super::shared_clusters_are_judged_right($major);
            }

            #[test]
            fn made() {
                super::small_variants_are_judged_right($major);
            }
        }
    )*};
}

for_each_major! {
    v10 "10" v11 "11" v12 "12" v13 "13" v14 "14" v15 "15" v16 "16" v17 "17" v18 "18" v19 "19"
}

/// Where the cluster of a major comes from.
type Source = fn(&'static str) -> Option<&'static Stopped>;

/// The variants that all tests share, made once for all of them.
const SHARED: [(&str, Source); 2] = [("fresh", fresh), ("used", used)];

#[track_caller]
fn assert_right(variant: &Variant, specimen: &Specimen, major: &str) {
    let name = variant.name;
    let verdict = zoo::judge(variant, specimen, &program())
        .unwrap_or_else(|error| panic!("{major} {name}: {error:#}"));
    assert!(
        verdict.wrong.is_empty(),
        "{major} {name}: {verdict}\n{}",
        verdict.wrong.join("\n")
    );
}

fn shared_clusters_are_judged_right(major: &'static str) {
    for (name, cluster) in SHARED {
        let variant = VARIANTS
            .iter()
            .find(|variant| variant.name == name)
            .expect("a variant");
        if let Some(stopped) = cluster(major) {
            assert_right(variant, &Specimen::from(stopped), major);
        }
    }
}

fn small_variants_are_judged_right(major: &'static str) {
    let Some(server) = server(major) else { return };
    for variant in VARIANTS.iter().filter(|variant| variant.small) {
        let is_shared = SHARED.iter().any(|(name, _)| *name == variant.name);
        if is_shared || variant.refused_by(&server).is_some() {
            continue;
        }
        let dir = new_dir("zoo-");
        let specimen = zoo::make(variant, &server, &dir.path().join(variant.name))
            .unwrap_or_else(|error| panic!("{error:#}"));
        assert_right(variant, &specimen, major);
    }
}

#[test]
fn names_are_unique_and_every_major_has_its_variants() {
    let mut names: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    assert!(
        VARIANTS
            .iter()
            .any(|variant| variant.small && variant.from == 10)
    );
}
