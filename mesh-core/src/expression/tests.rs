use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    Expression::parse(text).map_or_else(|error| error.to_string(), |parsed| panic!("{parsed:?}"))
}

#[test]
fn what_makes_sense() {
    for (text, kind) in [
        ("request.path", Kind::Text),
        ("request.headers['x-team']", Kind::Text),
        ("request.headers.host", Kind::Text),
        ("has(request.headers.host)", Kind::Bool),
        ("has(response.code)", Kind::Bool),
        ("'x-team' in request.headers", Kind::Bool),
        ("response.code >= 400 && response.code < 600", Kind::Bool),
        ("response.code == 200 || connection.mtls", Kind::Bool),
        ("request.method in ['GET', 'HEAD']", Kind::Bool),
        ("request.path.startsWith('/api')", Kind::Bool),
        ("request.path.matches('^/v[0-9]+/')", Kind::Bool),
        ("string(destination.port)", Kind::Text),
        ("destination.port == 8080 ? 'a' : 'b'", Kind::Text),
        ("request.duration > duration('1.5s')", Kind::Bool),
        ("size(request.path) + 1", Kind::Int),
        ("request.path.size()", Kind::Int),
        ("'a' + request.host", Kind::Text),
        ("!connection.mtls", Kind::Bool),
        ("-1", Kind::Int),
        ("upstream_peer.workload", Kind::Text),
        ("xds.cluster_name", Kind::Text),
    ] {
        let parsed = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed.kind(), kind, "{text}");
    }
}

#[test]
fn keys_are_known_beforehand() {
    let text = "request.headers['a'] == 'x' || !('b' in request.headers) && has(request.headers.c) \
                ? response.headers['d'] == '' : request.method in [request.headers['e']]";
    let parsed = Expression::parse(text).unwrap();
    let mut keys = parsed.keys_of(Attribute::RequestHeaders);
    keys.sort();
    assert_eq!(keys, ["a", "b", "c", "e"]);
}

#[test]
fn what_is_refused_and_why() {
    for (text, reason) in [
        ("", "does not parse"),
        ("request.path ==", "does not parse"),
        (
            "request.paht == ''",
            "request.paht is no attribute; did you mean request.path?",
        ),
        ("color", "color is no attribute"),
        (
            "request.time",
            "the attribute request.time is not supported yet",
        ),
        (
            "metadata['a']",
            "the attribute metadata is not supported yet",
        ),
        ("request", "the attribute request is not supported yet"),
        ("filter_state.x", "not supported yet"),
        (
            "request.path == 1",
            "text cannot be compared with a whole number",
        ),
        (
            "request.headers == ''",
            "a map cannot be compared with text",
        ),
        (
            "response.code + 'a'",
            "a whole number and text cannot be reckoned with",
        ),
        ("request.path && true", "text stands where a condition must"),
        (
            "response.code.startsWith('4')",
            "a whole number stands where text must",
        ),
        (
            "request.path.matches(request.host)",
            "a pattern that is not written in place",
        ),
        ("request.path.matches('(')", "is refused"),
        ("[1, 2].all(x, x > 0)", "a loop"),
        ("request.path['a']", "text has no keys"),
        ("request.headers[1]", "the keys of a map are text"),
        ("duration('soon')", "is no duration"),
        (
            "timestamp('2020')",
            "the function timestamp is not supported yet",
        ),
        ("[1]", "a list can only stand after `in`"),
        ("{'a': 1}", "a map in braces"),
        ("18446744073709551615u", "beyond 63 bits"),
    ] {
        let found = refused(text);
        assert!(found.contains(reason), "{text}: {found}");
    }
}

#[test]
fn large_ones_are_refused() {
    let large = [
        "a".repeat(5000),
        "(".repeat(4096),
        "1+".repeat(2000) + "1",
        "true?".repeat(800),
        "true ? 1 : ".repeat(300) + "1",
        "a.b".repeat(1000),
        "request.headers".to_owned() + &".a".repeat(1900),
        "a[".repeat(2000),
        "[1,".repeat(1000),
        "true && ".repeat(500) + "true",
    ];
    for text in large {
        assert!(Expression::parse(&text).is_err(), "{text:.20}");
    }
    assert!(Expression::parse_condition("1").is_err());
    assert!(Expression::parse_condition("true").is_ok());
}

#[test]
fn the_deepest_that_reach_the_parser_are_survived() {
    let deep = [
        "1+".repeat(1300) + "1",
        "!".repeat(4000) + "true",
        "-".repeat(4000) + "1",
        "request.headers".to_owned() + &".a".repeat(1300),
        "1<".repeat(1300) + "1",
        format!("{}1{}", "(".repeat(1000), ")".repeat(1000)),
        format!("{}1{}", "a[".repeat(1000), "]".repeat(1000)),
        "true?1:".repeat(1000) + "1",
    ];
    for text in deep {
        let _ = Expression::parse(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in ".{0,80}") {
        let _ = Expression::parse(&text);
    }

    #[test]
    fn any_tokens_are_survived(tokens in prop::collection::vec(prop::sample::select(vec![
        "request", ".", "path", "headers", "[", "]", "(", ")", "'a'", "\"", "'", "1", "1.5", "2u",
        "==", "!=", "<", "&&", "||", "!", "-", "+", "in", "?", ":", ",", "has", "size", "{", "}",
        "true", "null", "b'x'", "r'\\'", "\\u", "é", "`", "matches", "0x", "1e", "'''", "//",
        "all", "map", "x", "\n", "@", "$", "%", "99999999999999999999",
    ]), 0..24)) {
        let _ = Expression::parse(&tokens.join(" "));
        let _ = Expression::parse(&tokens.concat());
    }
}
