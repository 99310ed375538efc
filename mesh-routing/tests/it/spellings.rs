//! No rule is lost to a spelling: paths and headers written so that rules may overlook them.

use std::net::SocketAddr;

use http::{HeaderMap, Method};
use mesh_core::{dataplane::*, identity::SpiffeId, name::Pattern};
use mesh_routing::{AccessRequest, Authorizer, ConnectionFacts, RequestHead};
use proptest::{collection::vec, prelude::*, sample::select};

/// What destinations may take a path for, in the plainest way: `;` ends a segment or does not,
/// before or after escapes are undone.
pub(crate) fn readings(path: &str) -> Vec<String> {
    if !path.starts_with('/') {
        return Vec::new();
    }
    let all = [
        folded(&unescaped(path)),
        folded(&unescaped(&stripped(path))),
        folded(&stripped(&unescaped(path))),
    ];
    let others = all.into_iter().filter(|reading| reading != path);
    others.collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let code = text
            .get(at + 1..at + 3)
            .filter(|_| text.as_bytes()[at] == b'%');
        let is_hex = |code: &&str| code.bytes().all(|digit| digit.is_ascii_hexdigit());
        match code.filter(is_hex) {
            Some(code) => {
                bytes.push(u8::from_str_radix(code, 16).unwrap());
                at += 3;
            }
            None => {
                bytes.push(text.as_bytes()[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn stripped(text: &str) -> String {
    let mut in_parameter = false;
    let kept = text.chars().filter(|c| {
        in_parameter = match c {
            '/' | '\\' => false,
            ';' => true,
            _ => in_parameter,
        };
        !in_parameter
    });
    kept.collect()
}

fn folded(text: &str) -> String {
    let text = text.replace('\\', "/");
    if !text.starts_with('/') {
        return text;
    }
    let mut stack: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(stack.pop()),
            segment => stack.push(segment),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
    let end = if is_folder && !stack.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", stack.join("/"))
}

fn filter(action: AccessAction, permission: Permission) -> RbacFilter {
    let policy = AccessPolicy {
        permissions: vec![permission],
        principals: vec![Principal::Any],
        origin: None,
    };
    RbacFilter {
        rules: Some(AccessRules {
            action,
            policies: [("p".into(), policy)].into(),
        }),
        ..RbacFilter::default()
    }
}

fn passes(filter: &RbacFilter, path: &str, headers: &HeaderMap) -> bool {
    let peer: SpiffeId = "spiffe://td/ns/a/sa/x".parse().unwrap();
    let connection = ConnectionFacts {
        source: SocketAddr::from(([10, 0, 0, 9], 1)),
        destination: SocketAddr::from(([10, 0, 0, 1], 80)),
        server_name: None,
        transport: TransportProtocol::Tls,
        application_protocols: &[],
        peer: Some(&peer),
    };
    let head = RequestHead {
        method: &Method::GET,
        path,
        query: None,
        authority: "shop",
        scheme: "http",
        headers,
        claims: None,
    };
    let request = AccessRequest {
        head: Some(&head),
        connection: &connection,
        remote: connection.source.ip(),
        claims: None,
    };
    let authorizer = Authorizer::compile(filter).unwrap();
    let explanation = authorizer.explain(filter, &request);
    let passes = authorizer.check(&request).is_allowed();
    assert_eq!(explanation.verdict.is_allowed(), passes);
    let matched = explanation.policies[0].failed.is_none();
    let is_allow = filter.rules.as_ref().unwrap().action == AccessAction::Allow;
    assert_eq!(matched, passes == is_allow, "{explanation:?}");
    passes
}

/// Spellings of `/admin` and of `/admin/x` that some destination takes for them.
const ADMIN: [&str; 18] = [
    "/admin",
    "//admin",
    "///admin",
    "/./admin",
    "/x/../admin",
    "/x//../admin",
    "/%61dmin",
    "/%41dmin/../admin",
    "/admin;x",
    "/admin;jsessionid=1",
    "/;a/admin",
    "/x;y/../admin",
    "/x/..;/admin",
    "/x/..;a=b/admin",
    "/x/%2e%2e/admin",
    "/x/%2E%2e;/admin",
    "/x%2f..%2Fadmin",
    "/\\admin",
];
const BELOW: [&str; 9] = [
    "/admin/x",
    "/admin//x",
    "/admin%2Fx",
    "/admin%2fx",
    "/admin%5Cx",
    "/admin\\x",
    "/admin;a/x",
    "/x;y%2F..%2Fadmin/x",
    "/public/..;/admin/x",
];

#[test]
fn no_spelling_passes_a_rule_that_denies() {
    let exact = Permission::Path(Pattern::Exact("/admin".into()));
    let below = Permission::Path(Pattern::Prefix("/admin/".into()));
    let but_public = Permission::Not(Box::new(Permission::Path(Pattern::Prefix(
        "/public".into(),
    ))));
    let headers = HeaderMap::new();
    for (permission, paths) in [
        (&exact, &ADMIN[..]),
        (&below, &BELOW[..]),
        (&but_public, &BELOW[..]),
        (&but_public, &ADMIN[..]),
    ] {
        let deny = filter(AccessAction::Deny, permission.clone());
        for path in paths {
            assert!(!passes(&deny, path, &headers), "{path} {permission:?}");
        }
    }
    // What is another path stays one.
    let deny = filter(AccessAction::Deny, exact);
    for path in [
        "/admin/",
        "/administrator",
        "/Admin",
        "/x/admin",
        "/admin%252F",
        "/",
        "*",
        "",
    ] {
        assert!(passes(&deny, path, &headers), "{path}");
    }
}

#[test]
fn no_spelling_widens_a_rule_that_allows() {
    let headers = HeaderMap::new();
    let public = filter(
        AccessAction::Allow,
        Permission::Path(Pattern::Prefix("/public/".into())),
    );
    for (path, want) in [
        ("/public/a", true),
        ("/public/a%20b", true),
        ("/public/a;v=1", true),
        ("/public//a", true),
        ("/public/a%2Fb", true),
        ("/public/..;/admin", false),
        ("/public/..%2Fadmin", false),
        ("/public/%2e%2e/admin", false),
        ("/public/..%5Cadmin", false),
        ("/public/x;y/..;/..;/admin", false),
        ("//public/a", false),
    ] {
        assert_eq!(passes(&public, path, &headers), want, "{path}");
    }
    let images = filter(
        AccessAction::Allow,
        Permission::Path(Pattern::Suffix(".png".into())),
    );
    for (path, want) in [
        ("/a.png", true),
        ("/admin;.png", false),
        ("/admin%3B.png", false),
        ("/admin/..;/a.png", true),
    ] {
        assert_eq!(passes(&images, path, &headers), want, "{path}");
    }
    // What a rule spells so is meant so.
    for path in ["/a%2Fb", "/a;v=1", "/a//b", "/caf%c3%a9"] {
        let allow = filter(
            AccessAction::Allow,
            Permission::Path(Pattern::Exact(path.into())),
        );
        assert!(passes(&allow, path, &headers), "{path}");
    }
}

/// Several values, on lines or within one, are judged one by one.
#[test]
fn lists_in_headers() {
    let is = |pattern: Pattern| {
        Permission::Header(HeaderMatch {
            name: "x-role".into(),
            value: ValueMatch::Text {
                pattern,
                ignore_case: false,
            },
            invert: false,
            missing_is_empty: false,
        })
    };
    let admin = || is(Pattern::Exact("admin".into()));
    let not_admin = || Permission::Not(Box::new(admin()));
    let user = || is(Pattern::Prefix("user".into()));
    for (lines, denies, allows, allows_others, allows_users) in [
        (&["admin"][..], true, true, false, false),
        (&["user"], false, false, true, true),
        (&["user, admin"], true, false, false, false),
        (&["admin,user"], true, false, false, false),
        (&["user", "admin"], true, false, false, false),
        (&["user1,user2"], false, false, true, true),
        (&["user1 ,, user2,"], false, false, true, true),
        (&["admin,"], true, true, false, false),
        (&["admin, admin"], true, true, false, false),
        (&["administrator"], false, false, true, false),
        (&[""], false, false, true, false),
        (&[], false, false, true, false),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-role", line.parse().unwrap());
        }
        let passes = |action, permission| passes(&filter(action, permission), "/", &headers);
        assert_eq!(!passes(AccessAction::Deny, admin()), denies, "{lines:?}");
        assert_eq!(passes(AccessAction::Allow, admin()), allows, "{lines:?}");
        assert_eq!(
            passes(AccessAction::Allow, not_admin()),
            allows_others,
            "{lines:?}"
        );
        assert_eq!(
            passes(AccessAction::Allow, user()),
            allows_users,
            "{lines:?}"
        );
    }
    // A comma is part of what a browser calls itself.
    let mut headers = HeaderMap::new();
    headers.insert(
        "user-agent",
        "Mozilla/5.0 (KHTML, like Gecko)".parse().unwrap(),
    );
    let browser = Permission::Header(HeaderMatch {
        name: "user-agent".into(),
        value: ValueMatch::Text {
            pattern: Pattern::Prefix("Mozilla".into()),
            ignore_case: false,
        },
        invert: false,
        missing_is_empty: false,
    });
    assert!(passes(&filter(AccessAction::Allow, browser), "/", &headers));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is put between, before and after, a destination that reads it as `/admin` is not
    /// reached past a rule against it.
    #[test]
    fn generated_spellings(parts in vec(select(vec![
        "/", "//", "admin", "%61dmin", "..", ".", "%2e", "%2F", "%5c", "\\", ";", ";a", "x", "%",
        "%3b", "é", "%ff",
    ]), 0..8)) {
        let path = format!("/{}", parts.concat());
        let deny = filter(
            AccessAction::Deny,
            Permission::Path(Pattern::Exact("/admin".into())),
        );
        let is_admin = path == "/admin" || readings(&path).contains(&"/admin".to_owned());
        prop_assert_eq!(passes(&deny, &path, &HeaderMap::new()), !is_admin, "{}", path);
    }
}
