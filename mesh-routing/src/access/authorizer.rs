use std::{fmt, net::IpAddr};

use mesh_core::dataplane::{AccessAction, AccessRules, Name, Origin, RbacFilter};

use super::{
    condition::{Permission, Principal, Question},
    explain::{self, AccessExplanation},
    index::Index,
    readings,
    token::Claims,
};
use crate::{
    CompileError, ConnectionFacts, RequestHead, compile_error::compile_all, predicate::Judge,
};

/// Rules on who may do what, ready to ask.
///
/// A header that comes several times is judged value by value: rules that deny match if any value
/// does, rules that allow only if all do, so that no spelling slips past; and so is a path that
/// destinations may read in several ways. Conditions on requests never match connections that
/// carry none, negated or not.
#[derive(Debug)]
pub struct Authorizer {
    rules: Option<Rules>,
    shadow: Option<Rules>,
}

#[derive(Debug)]
pub(super) struct Rules {
    pub(super) action: AccessAction,
    pub(super) policies: Box<[Policy]>,
    index: Index,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: Name,
    pub(super) origin: Option<Origin>,
    pub(super) permissions: Box<[Permission]>,
    pub(super) principals: Box<[Principal]>,
}

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// The request; none asks for a connection.
    pub head: Option<&'a RequestHead<'a>>,
    /// The connection, with the caller's proven identity.
    pub connection: &'a ConnectionFacts<'a>,
    /// The caller's address by trusted hops; the connection's other end where there are none.
    pub remote: IpAddr,
    /// What the request's verified token says; none without one.
    pub claims: Option<&'a Claims>,
}

/// May they?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Yes.
    Allow,
    /// No.
    Deny {
        /// The policy that says so; none where no policy allows it.
        policy: Option<&'a Name>,
        /// The resource that asked for that policy.
        origin: Option<&'a Origin>,
    },
}

impl Verdict<'_> {
    /// Whether they may.
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allow
    }
}

/// As `%RESPONSE_CODE_DETAILS%` has it: `rbac_access_denied_matched_policy[<name>]`, or `none` for a
/// name; empty where access is allowed.
impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => Ok(()),
            Self::Deny { policy, .. } => {
                let policy = policy.map_or("none", |name| name);
                write!(f, "rbac_access_denied_matched_policy[{policy}]")
            }
        }
    }
}

impl Authorizer {
    /// Prepares a filter's rules. Refuses bad patterns, naming the policy and its resource.
    pub fn compile(filter: &RbacFilter) -> Result<Self, CompileError> {
        let compile = |rules: &Option<AccessRules>, field: &str| {
            rules
                .as_ref()
                .map(Rules::compile)
                .transpose()
                .map_err(|error| error.within(field))
        };
        Ok(Self {
            rules: compile(&filter.rules, "rules")?,
            shadow: compile(&filter.shadow_rules, "shadow_rules")?,
        })
    }

    /// What the rules in force say. Without rules everything is allowed.
    pub fn check(&self, request: &AccessRequest<'_>) -> Verdict<'_> {
        self.rules
            .as_ref()
            .map_or(Verdict::Allow, |rules| rules.check(request))
    }

    /// What the rules on trial would have said; none if there are none.
    pub fn shadow(&self, request: &AccessRequest<'_>) -> Option<Verdict<'_>> {
        self.shadow.as_ref().map(|rules| rules.check(request))
    }

    /// What [`Self::check`] says, and of each policy why it does not match. `planned` is what this
    /// was compiled from.
    pub fn explain<'a>(
        &'a self,
        planned: &RbacFilter,
        request: &AccessRequest<'_>,
    ) -> AccessExplanation<'a> {
        let of = |rules: &'a Option<Rules>, planned: &Option<AccessRules>, is_shadow| {
            let both = rules.as_ref().zip(planned.as_ref());
            both.map(|(rules, planned)| explain::rules(rules, planned, request, is_shadow))
                .unwrap_or_default()
        };
        let mut policies = of(&self.rules, &planned.rules, false);
        policies.extend(of(&self.shadow, &planned.shadow_rules, true));
        AccessExplanation {
            verdict: self.check(request),
            shadow: self.shadow(request),
            policies,
        }
    }
}

impl Rules {
    fn compile(rules: &AccessRules) -> Result<Self, CompileError> {
        let policies = rules.policies.iter().map(|(name, policy)| {
            let compile = || {
                Ok(Policy {
                    name: name.clone(),
                    origin: policy.origin.clone(),
                    permissions: compile_all(
                        "permissions",
                        &policy.permissions,
                        Permission::compile,
                    )?,
                    principals: compile_all("principals", &policy.principals, Principal::compile)?,
                })
            };
            compile().map_err(|error: CompileError| {
                error
                    .within(format_args!("policies[{name}]"))
                    .because_of(policy.origin.as_ref())
            })
        });
        Ok(Self {
            action: rules.action,
            policies: policies.collect::<Result<_, _>>()?,
            index: Index::of(rules),
        })
    }

    pub(super) fn question<'a>(
        &self,
        request: &'a AccessRequest<'a>,
        readings: &'a [String],
    ) -> Question<'a> {
        let judge = match self.action {
            AccessAction::Allow => Judge::Every,
            AccessAction::Deny | AccessAction::Log => Judge::Any,
        };
        Question::new(request, readings, judge)
    }

    fn check(&self, request: &AccessRequest<'_>) -> Verdict<'_> {
        let readings = readings_of(request);
        let question = self.question(request, &readings);
        // The first that matches, in the order of the rules.
        let mut first = self.policies.len();
        self.index.visit(request, &readings, |candidates| {
            let earlier = candidates.iter().map(|place| *place as usize);
            let mut earlier = earlier.take_while(|place| *place < first);
            let found = earlier.find(|place| self.policies[*place].matches(question));
            first = found.unwrap_or(first);
        });
        let matched = self.policies.get(first);
        match (self.action, matched) {
            (AccessAction::Deny, Some(policy)) => Verdict::Deny {
                policy: Some(&policy.name),
                origin: policy.origin.as_ref(),
            },
            (AccessAction::Allow, None) => Verdict::Deny {
                policy: None,
                origin: None,
            },
            _ => Verdict::Allow,
        }
    }
}

impl Policy {
    fn matches(&self, question: Question<'_>) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.matches(question))
            && self
                .principals
                .iter()
                .any(|principal| principal.matches(question))
    }
}

/// What else the path of a request may be taken for.
pub(super) fn readings_of(request: &AccessRequest<'_>) -> Vec<String> {
    request
        .head
        .map_or_else(Vec::new, |head| readings::of(head.path))
}
