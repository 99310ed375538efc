use std::borrow::Cow;

use mesh_core::dataplane::EscapedSlashes;
use mesh_routing::path::{NormalPath, PathError, PathRules};
use proptest::{collection::vec, prelude::*, sample::select};

const ALL: PathRules = PathRules {
    normalize: true,
    merge_slashes: true,
    escaped_slashes: EscapedSlashes::Keep,
};

fn forward(path: &str) -> Result<NormalPath<'_>, PathError> {
    Ok(NormalPath::Forward(Cow::Borrowed(path)))
}

#[track_caller]
fn check(rules: PathRules, path: &str, want: Result<NormalPath<'_>, PathError>) {
    assert_eq!(rules.apply(path), want, "{path}");
}

#[test]
fn normalising() {
    let rules = PathRules {
        merge_slashes: false,
        ..ALL
    };
    for (path, want) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("/a//b", "/a//b"),
        ("/a//../b", "/a/b"),
        ("/%61%2D%7e", "/a-~"),
        ("/%2e%2E/a", "/a"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a\\b\\..\\c", "/a/c"),
        ("/a%2Fb%5c", "/a%2Fb%5c"),
        ("/%252e", "/%252e"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/%2%45", "/%2%45"),
        ("/é/%C3%A9", "/é/%C3%A9"),
        ("*", "*"),
        ("", ""),
    ] {
        check(rules, path, forward(want));
    }
}

#[test]
fn slashes() {
    for (path, want) in [("//", "/"), ("//a///b/", "/a/b/"), ("/a/.//b", "/a/b")] {
        check(ALL, path, forward(want));
    }
    let with = |escaped_slashes| PathRules {
        escaped_slashes,
        ..ALL
    };
    check(
        with(EscapedSlashes::Reject),
        "/a%2fb",
        Err(PathError::EscapedSlash),
    );
    check(
        with(EscapedSlashes::Reject),
        "/a%5Cb",
        Err(PathError::EscapedSlash),
    );
    check(with(EscapedSlashes::Reject), "/a%61", forward("/aa"));
    let forwarding = with(EscapedSlashes::UnescapeAndForward);
    check(forwarding, "/a%2f..%5Cb", forward("/b"));
    let redirecting = with(EscapedSlashes::UnescapeAndRedirect);
    check(
        redirecting,
        "/a%2Fb",
        Ok(NormalPath::Redirect("/a/b".into())),
    );
    check(redirecting, "/a/./b", forward("/a/b"));
}

#[test]
fn refusals() {
    check(ALL, "/a#b", Err(PathError::Fragment));
    check(ALL, "/a%00", Err(PathError::Nul));
    check(ALL, "/a\0", Err(PathError::Nul));
}

#[test]
fn what_stays_is_borrowed() {
    for path in ["/a.b/c", "/a%2Fb", "/100%25", "/.a/.b"] {
        let path = ALL.apply(path).unwrap();
        assert!(
            matches!(path, NormalPath::Forward(Cow::Borrowed(_))),
            "{path:?}"
        );
    }
}

/// Ways to write `/admin/x` that a destination may take for it.
fn spelling() -> impl Strategy<Value = String> {
    let letter = |c: char| {
        select(vec![
            c.to_string(),
            format!("%{:02x}", c as u32),
            format!("%{:02X}", c as u32),
        ])
    };
    let slash = select(vec![
        "/", "//", "\\", "/./", "/x/../", "/%2e/", "/y/%2E./", "/.//", "%2f", "%5C",
    ]);
    let word: Vec<_> = "admin".chars().map(letter).collect();
    (slash.clone(), word, slash, select(vec!["x", "%78"]))
        .prop_map(|(first, word, second, last)| format!("/.{first}{}{second}{last}", word.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn twice_is_once(
        parts in vec(select(vec!["/", "/", ".", "..", "%", "2", "e", "2e", "%2e", "%2F", "%5c", "\\", "a", "é", "%61", "%4", "5", "%25", "%35"]), 0..12),
        normalize: bool,
        merge_slashes: bool,
        escaped in select(vec![EscapedSlashes::Keep, EscapedSlashes::Reject, EscapedSlashes::UnescapeAndForward]),
    ) {
        let rules = PathRules { normalize, merge_slashes, escaped_slashes: escaped };
        let path = format!("/{}", parts.concat());
        if let Ok(NormalPath::Forward(once)) = rules.apply(&path) {
            prop_assert_eq!(rules.apply(&once), forward(&once), "{}", path);
            prop_assert!(once.starts_with('/'));
            if normalize {
                prop_assert!(once.split('/').all(|segment| !matches!(segment, "." | "..")), "{}", once);
            }
        }
    }

    #[test]
    fn never_panics(path in "\\PC{0,40}") {
        let _ = ALL.apply(&path);
    }

    #[test]
    fn spelling_hides_nothing(path in spelling()) {
        let rules = PathRules { escaped_slashes: EscapedSlashes::UnescapeAndForward, ..ALL };
        prop_assert_eq!(rules.apply(&path), forward("/admin/x"), "{}", path);
    }
}
