//! `JwtFilter` ⇄ `envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication`.

use std::{mem::take, time::Duration};

use mesh_core::dataplane::{ClaimHeader, JwtFilter, JwtHeader, JwtProvider, Name};

use super::reader::{Reader, Unread};
use crate::proto::{core, jwt_authn, route, wkt};

use jwt_authn::{
    JwtRequirement, JwtRequirementAndList, JwtRequirementOrList, jwt_provider,
    jwt_requirement::RequiresType, requirement_rule::RequirementType,
};

/// Where Istio's policies look for what a token says, beneath the filter's own name.
const PAYLOAD: &str = "payload";

pub(super) fn http_filter(value: &JwtFilter) -> jwt_authn::JwtAuthentication {
    let named = |provider: &JwtProvider| {
        let wire = jwt_authn::JwtProvider {
            clear_route_cache: value.reroutes,
            ..self::provider(provider)
        };
        (provider.name.to_string(), wire)
    };
    jwt_authn::JwtAuthentication {
        providers: value.providers.iter().map(named).collect(),
        rules: vec![jwt_authn::RequirementRule {
            r#match: Some(route::RouteMatch {
                path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".into())),
                ..Default::default()
            }),
            requirement_type: Some(RequirementType::Requires(requirement(&value.providers))),
        }],
        bypass_cors_preflight: value.bypass_cors_preflight,
        ..Default::default()
    }
}

/// As Istio words it: one provider vouches for the token, or there is none. Of several providers
/// each may find no token; where one vouches, it does not matter what others find at the same
/// place.
fn requirement(providers: &[JwtProvider]) -> JwtRequirement {
    let or_none = |provider: &JwtProvider| any(vec![named(&provider.name), missing()]);
    match providers {
        [only] => or_none(only),
        several => {
            let all = JwtRequirementAndList {
                requirements: several.iter().map(or_none).collect(),
            };
            let mut one: Vec<_> = several.iter().map(|each| named(&each.name)).collect();
            one.push(JwtRequirement {
                requires_type: Some(RequiresType::RequiresAll(all)),
            });
            any(one)
        }
    }
}

fn any(requirements: Vec<JwtRequirement>) -> JwtRequirement {
    JwtRequirement {
        requires_type: Some(RequiresType::RequiresAny(JwtRequirementOrList {
            requirements,
        })),
    }
}

fn named(name: &Name) -> JwtRequirement {
    JwtRequirement {
        requires_type: Some(RequiresType::ProviderName(name.to_string())),
    }
}

fn missing() -> JwtRequirement {
    JwtRequirement {
        requires_type: Some(RequiresType::AllowMissing(wkt::Empty::default())),
    }
}

pub(super) fn read_http_filter(
    r: &mut Reader,
    mut wire: jwt_authn::JwtAuthentication,
) -> JwtFilter {
    let mut known = take(&mut wire.providers);
    // Routes are looked for again after any token, as doing so in vain changes nothing.
    let mut reroutes = false;
    for provider in known.values_mut() {
        reroutes |= take(&mut provider.clear_route_cache);
    }
    let names = r.within("rules", |r| read_rules(r, take(&mut wire.rules)));
    let mut providers = Vec::with_capacity(names.len());
    for name in names {
        match known.remove(&name) {
            Some(wire) => {
                let field = format!("providers[{name}]");
                providers.push(r.within(field, |r| read_provider(r, &name, wire)));
            }
            None => r.refuse("rules", format!("names no provider: {name:?}")),
        }
    }
    for name in known.into_keys() {
        r.ignore("providers", format!("nothing asks for {name:?}"));
    }
    let read = JwtFilter {
        providers,
        bypass_cors_preflight: take(&mut wire.bypass_cors_preflight),
        reroutes,
    };
    r.finish(
        wire,
        Unread::RefusedExcept(&["stat_prefix", "strip_failure_response"]),
    );
    read
}

/// The providers of which one must vouch for a token, in order. Only what Istio asks for is read:
/// one rule for every path that lets pass what brings no token.
fn read_rules(r: &mut Reader, wire: Vec<jwt_authn::RequirementRule>) -> Vec<String> {
    let mut rules = wire.into_iter();
    let (Some(rule), None) = (rules.next(), rules.next()) else {
        r.refuse("", "is not supported unless there is one");
        return Vec::new();
    };
    let every_path = route::route_match::PathSpecifier::Prefix("/".into());
    let is_for_all = rule.r#match.is_some_and(|mut matches| {
        matches.path_specifier.take() == Some(every_path) && matches == route::RouteMatch::default()
    });
    if !is_for_all {
        r.refuse("match", "is not supported unless it matches every path");
    }
    let Some(RequirementType::Requires(wanted)) = rule.requirement_type else {
        r.refuse("requires", "is missing, or names a requirement");
        return Vec::new();
    };
    let names = names_of(&wanted);
    let reached: Option<Vec<Name>> = names.map(|names| names.into_iter().map(Into::into).collect());
    let Some(names) = reached else {
        r.refuse("requires", "is not supported: it is none of Istio's");
        return Vec::new();
    };
    let providers = names.iter().map(|name| JwtProvider {
        name: name.clone(),
        ..JwtProvider::default()
    });
    if requirement(&providers.collect::<Vec<_>>()) != wanted {
        r.refuse("requires", "is not supported: it is none of Istio's");
    }
    names.iter().map(ToString::to_string).collect()
}

fn names_of(wanted: &JwtRequirement) -> Option<Vec<&str>> {
    let Some(RequiresType::RequiresAny(any)) = &wanted.requires_type else {
        return None;
    };
    let (_, providers) = any.requirements.split_last()?;
    let names = providers.iter().map(|one| match &one.requires_type {
        Some(RequiresType::ProviderName(name)) => Some(&**name),
        _ => None,
    });
    names.collect()
}

fn provider(value: &JwtProvider) -> jwt_authn::JwtProvider {
    let mut wire = jwt_authn::JwtProvider {
        issuer: value.issuer.clone(),
        audiences: value.audiences.clone(),
        forward: value.forward,
        from_params: value.parameters.clone(),
        from_cookies: value.cookies.clone(),
        forward_payload_header: value.payload_header.clone(),
        payload_in_metadata: PAYLOAD.into(),
        clock_skew_seconds: match value.clock_skew {
            JwtProvider::CLOCK_SKEW => 0,
            skew => u32::try_from(skew.as_secs()).unwrap_or(u32::MAX),
        },
        jwks_source_specifier: Some(jwt_provider::JwksSourceSpecifier::LocalJwks(
            core::DataSource {
                specifier: Some(core::data_source::Specifier::InlineString(
                    value.keys.clone(),
                )),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    if !value.space_delimited_claims.is_empty() {
        wire.normalize_payload_in_metadata = Some(jwt_provider::NormalizePayload {
            space_delimited_claims: value.space_delimited_claims.clone(),
        });
    }
    let headers = value.headers.iter().map(|place| jwt_authn::JwtHeader {
        name: place.name.clone(),
        value_prefix: place.prefix.clone(),
    });
    wire.from_headers = headers.collect();
    let told = value
        .claim_headers
        .iter()
        .map(|told| jwt_authn::JwtClaimToHeader {
            header_name: told.header.clone(),
            claim_name: told.claim.clone(),
            ..Default::default()
        });
    wire.claim_to_headers = told.collect();
    wire
}

fn read_provider(r: &mut Reader, name: &str, mut wire: jwt_authn::JwtProvider) -> JwtProvider {
    let keys = r.within("jwks_source_specifier", |r| {
        read_keys(r, wire.jwks_source_specifier.take())
    });
    let metadata = take(&mut wire.payload_in_metadata);
    if !metadata.is_empty() && metadata != PAYLOAD {
        r.refuse(
            "payload_in_metadata",
            "is not supported unless it is \"payload\"",
        );
    }
    let normalized = wire
        .normalize_payload_in_metadata
        .take()
        .unwrap_or_default();
    let header = |_: &mut Reader, wire: jwt_authn::JwtHeader| JwtHeader {
        name: wire.name.to_ascii_lowercase(),
        prefix: wire.value_prefix,
    };
    let read = JwtProvider {
        name: name.into(),
        issuer: take(&mut wire.issuer),
        audiences: take(&mut wire.audiences),
        keys,
        headers: r.each("from_headers", take(&mut wire.from_headers), header),
        parameters: take(&mut wire.from_params),
        cookies: take(&mut wire.from_cookies),
        forward: take(&mut wire.forward),
        payload_header: take(&mut wire.forward_payload_header).to_ascii_lowercase(),
        claim_headers: r.each(
            "claim_to_headers",
            take(&mut wire.claim_to_headers),
            read_claim_header,
        ),
        space_delimited_claims: normalized.space_delimited_claims,
        clock_skew: match take(&mut wire.clock_skew_seconds) {
            0 => JwtProvider::CLOCK_SKEW,
            seconds => Duration::from_secs(seconds.into()),
        },
        // The filter says of no provider which resource asked for it.
        origin: None,
    };
    let unread = Unread::RefusedExcept(&[
        "jwt_cache_config",
        "header_in_metadata",
        "failed_status_in_metadata",
    ]);
    r.finish(wire, unread);
    read
}

fn read_claim_header(r: &mut Reader, mut wire: jwt_authn::JwtClaimToHeader) -> ClaimHeader {
    let read = ClaimHeader {
        header: take(&mut wire.header_name).to_ascii_lowercase(),
        claim: take(&mut wire.claim_name),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

fn read_keys(r: &mut Reader, wire: Option<jwt_provider::JwksSourceSpecifier>) -> String {
    use core::data_source::Specifier;
    use jwt_provider::JwksSourceSpecifier;
    let source = match wire {
        Some(JwksSourceSpecifier::LocalJwks(source)) => source.specifier,
        Some(JwksSourceSpecifier::RemoteJwks(_)) => {
            r.refuse(
                "remote_jwks",
                "is not supported: keys must come with the plan",
            );
            None
        }
        None => None,
    };
    match source {
        Some(Specifier::InlineString(text)) => text,
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Some(_) => {
            r.refuse("local_jwks", "is not supported unless it is inline");
            JwtProvider::NO_KEYS.into()
        }
        None => JwtProvider::NO_KEYS.into(),
    }
}
