//! TLS contexts and secrets ⇄ `envoy.extensions.transport_sockets.tls.v3`.

use std::mem::take;

use mesh_core::dataplane::{
    ClientTls, PeerValidation, SanMatch, Secret, SecretSource, SecretValue, ServerTls, TlsVersion,
};

use super::{
    any::{holds, pack, unpack},
    filter::ads,
    matcher::{pattern, read_pattern},
    reader::{Reader, Unread},
    scalar::boolean,
};
use crate::proto::{core, raw_buffer, tls};

use core::data_source::Specifier;
use tls::{
    common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
    subject_alt_name_matcher::SanType,
    tls_parameters::TlsProtocol,
};

const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
const RAW_SOCKET: &str = "envoy.transport_sockets.raw_buffer";

pub(super) fn secret(value: &Secret) -> tls::Secret {
    let wire = match &value.value {
        SecretValue::Certificate { .. } => {
            tls::secret::Type::TlsCertificate(certificate_value(&value.value))
        }
        SecretValue::TrustBundle { roots } => {
            tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
                trusted_ca: Some(inline(roots)),
                ..Default::default()
            })
        }
    };
    tls::Secret {
        name: value.name.to_string(),
        r#type: Some(wire),
    }
}

pub(crate) fn read_secret(r: &mut Reader, wire: tls::Secret) -> Secret {
    let source = match wire.r#type {
        Some(tls::secret::Type::TlsCertificate(wire)) => {
            r.within("tls_certificate", |r| read_certificate(r, wire))
        }
        Some(tls::secret::Type::ValidationContext(wire)) => {
            r.within("validation_context", |r| read_bundle(r, wire))
        }
        _ => {
            r.refuse("type", "is neither a certificate nor a validation context");
            None
        }
    };
    let value = match source {
        Some(SecretSource::Inline(value)) => value,
        Some(_) => {
            r.refuse("", "a secret from files is not supported");
            no_roots()
        }
        None => no_roots(),
    };
    Secret {
        name: wire.name.into(),
        value,
    }
}

fn no_roots() -> SecretValue {
    SecretValue::TrustBundle {
        roots: String::new(),
    }
}

fn read_bundle(
    r: &mut Reader,
    mut wire: tls::CertificateValidationContext,
) -> Option<SecretSource> {
    let source = wire
        .trusted_ca
        .take()
        .and_then(|wire| read_bundle_source(r, wire));
    r.finish(wire, UNREAD_VALIDATION);
    source
}

pub(super) fn server_socket(value: &ServerTls) -> core::TransportSocket {
    socket(pack(&tls::DownstreamTlsContext {
        common_tls_context: Some(common(
            &value.certificates,
            value.validation.as_ref(),
            &value.alpn,
            value.min_version,
        )),
        require_client_certificate: boolean(value.require_client_certificate),
        ..Default::default()
    }))
}

/// TLS to end, or none for plain text.
pub(super) fn read_server_socket(r: &mut Reader, wire: core::TransportSocket) -> Option<ServerTls> {
    let any = read_socket_config(r, wire)?;
    if !holds::<tls::DownstreamTlsContext>(&any) {
        r.refuse("", format!("{} is not supported", any.type_url));
        return None;
    }
    let mut wire: tls::DownstreamTlsContext = unpack(r, &any)?;
    let common = wire.common_tls_context.take().unwrap_or_default();
    let common = r.within("common_tls_context", |r| read_common(r, common));
    let read = ServerTls {
        certificates: common.certificates,
        validation: common.validation,
        require_client_certificate: wire
            .require_client_certificate
            .take()
            .unwrap_or_default()
            .value,
        alpn: common.alpn,
        min_version: common.min_version,
    };
    r.finish_secret(
        wire,
        Unread::RefusedExcept(&[
            "disable_stateful_session_resumption",
            "session_timeout",
            "session_ticket_keys_type",
            "prefer_client_ciphers",
            "full_scan_certs_on_sni_mismatch",
        ]),
    );
    if read.require_client_certificate && read.validation.is_none() {
        r.refuse(
            "require_client_certificate",
            "asks for a certificate without saying which roots to trust",
        );
    }
    Some(read)
}

pub(super) fn client_socket(value: &ClientTls) -> core::TransportSocket {
    socket(pack(&tls::UpstreamTlsContext {
        common_tls_context: Some(common(
            &value.certificates,
            value.validation.as_ref(),
            &value.alpn,
            value.min_version,
        )),
        sni: value.sni.as_deref().unwrap_or_default().to_owned(),
        auto_host_sni: value.auto_sni,
        auto_sni_san_validation: value
            .validation
            .as_ref()
            .is_some_and(|validation| validation.match_requested_host),
        ..Default::default()
    }))
}

/// TLS to start, or none for plain text.
pub(super) fn read_client_socket(r: &mut Reader, wire: core::TransportSocket) -> Option<ClientTls> {
    let any = read_socket_config(r, wire)?;
    if !holds::<tls::UpstreamTlsContext>(&any) {
        r.refuse("", format!("{} is not supported", any.type_url));
        return None;
    }
    let mut wire: tls::UpstreamTlsContext = unpack(r, &any)?;
    let common = wire.common_tls_context.take().unwrap_or_default();
    let common = r.within("common_tls_context", |r| read_common(r, common));
    let mut validation = common.validation;
    if take(&mut wire.auto_sni_san_validation) {
        match &mut validation {
            Some(validation) => validation.match_requested_host = true,
            None => r.refuse("auto_sni_san_validation", "needs roots to trust"),
        }
    }
    let read = ClientTls {
        certificates: common.certificates,
        validation,
        sni: Some(take(&mut wire.sni))
            .filter(|sni| !sni.is_empty())
            .map(Into::into),
        auto_sni: take(&mut wire.auto_host_sni),
        alpn: common.alpn,
        min_version: common.min_version,
    };
    r.finish_secret(
        wire,
        Unread::RefusedExcept(&[
            "allow_renegotiation",
            "max_session_keys",
            "enforce_rsa_key_usage",
        ]),
    );
    Some(read)
}

pub(super) fn plain_socket() -> core::TransportSocket {
    core::TransportSocket {
        name: RAW_SOCKET.into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack(
            &raw_buffer::RawBuffer::default(),
        ))),
    }
}

fn socket(config: crate::proto::wkt::Any) -> core::TransportSocket {
    core::TransportSocket {
        name: TLS_SOCKET.into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(config)),
    }
}

/// The socket's configuration, or none for plain text.
fn read_socket_config(
    r: &mut Reader,
    wire: core::TransportSocket,
) -> Option<crate::proto::wkt::Any> {
    match wire.config_type {
        Some(core::transport_socket::ConfigType::TypedConfig(any)) => {
            (!holds::<raw_buffer::RawBuffer>(&any)).then_some(any)
        }
        None if wire.name == RAW_SOCKET => None,
        None => {
            r.refuse("typed_config", format!("is missing for {}", wire.name));
            None
        }
    }
}

#[derive(Debug)]
struct Common {
    certificates: Vec<SecretSource>,
    validation: Option<PeerValidation>,
    alpn: Vec<String>,
    min_version: TlsVersion,
}

fn common(
    certificates: &[SecretSource],
    validation: Option<&PeerValidation>,
    alpn: &[String],
    min_version: TlsVersion,
) -> tls::CommonTlsContext {
    let mut wire = tls::CommonTlsContext {
        tls_params: Some(tls::TlsParameters {
            tls_minimum_protocol_version: match min_version {
                TlsVersion::V1_2 => TlsProtocol::TlSv12,
                TlsVersion::V1_3 => TlsProtocol::TlSv13,
            }
            .into(),
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        alpn_protocols: alpn.to_vec(),
        validation_context_type: validation.map(self::validation),
        ..Default::default()
    };
    for certificate in certificates {
        match certificate {
            SecretSource::Named(name) => {
                wire.tls_certificate_sds_secret_configs.push(sds(name));
            }
            SecretSource::Inline(value) => wire.tls_certificates.push(certificate_value(value)),
            SecretSource::Files { certificates, key } => {
                wire.tls_certificates.push(tls::TlsCertificate {
                    certificate_chain: Some(file(certificates)),
                    private_key: key.as_deref().map(file),
                    ..Default::default()
                });
            }
        }
    }
    wire
}

#[expect(
    deprecated,
    reason = "the old way to name validation providers is told apart to refuse it"
)]
fn read_common(r: &mut Reader, mut wire: tls::CommonTlsContext) -> Common {
    let mut certificates: Vec<SecretSource> = r
        .each(
            "tls_certificates",
            take(&mut wire.tls_certificates),
            read_certificate,
        )
        .into_iter()
        .flatten()
        .collect();
    certificates.extend(r.each(
        "tls_certificate_sds_secret_configs",
        take(&mut wire.tls_certificate_sds_secret_configs),
        |_, wire| SecretSource::Named(wire.name.into()),
    ));
    let validation = match wire.validation_context_type.take() {
        None => None,
        Some(ValidationContextType::ValidationContext(wire)) => {
            r.within("validation_context", |r| read_validation(r, wire, None))
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(wire)) => {
            Some(PeerValidation {
                roots: SecretSource::Named(wire.name.into()),
                names: Vec::new(),
                match_requested_host: false,
            })
        }
        Some(ValidationContextType::CombinedValidationContext(mut wire)) => {
            r.within("combined_validation_context", |r| {
                let roots = wire
                    .validation_context_sds_secret_config
                    .take()
                    .map(|wire| SecretSource::Named(wire.name.into()));
                let default = wire.default_validation_context.take().unwrap_or_default();
                r.finish_secret(wire, Unread::REFUSED);
                read_validation(r, default, roots)
            })
        }
        Some(
            ValidationContextType::ValidationContextCertificateProvider(_)
            | ValidationContextType::ValidationContextCertificateProviderInstance(_),
        ) => {
            r.refuse("validation_context_type", "is not supported");
            None
        }
    };
    let params = wire.tls_params.take().unwrap_or_default();
    let min_version = r.within("tls_params", |r| read_params(r, params));
    let alpn = take(&mut wire.alpn_protocols);
    r.finish_secret(wire, Unread::REFUSED);
    Common {
        certificates,
        validation,
        alpn,
        min_version,
    }
}

fn read_params(r: &mut Reader, mut wire: tls::TlsParameters) -> TlsVersion {
    let version = match TlsProtocol::try_from(take(&mut wire.tls_minimum_protocol_version)) {
        Ok(TlsProtocol::TlSv13) => TlsVersion::V1_3,
        Ok(TlsProtocol::TlSv10 | TlsProtocol::TlSv11) => {
            r.ignore(
                "tls_minimum_protocol_version",
                "TLS 1.2 is the oldest version spoken",
            );
            TlsVersion::V1_2
        }
        _ => TlsVersion::V1_2,
    };
    if TlsProtocol::try_from(wire.tls_maximum_protocol_version) == Ok(TlsProtocol::TlSv13) {
        wire.tls_maximum_protocol_version = 0;
    }
    // Fewer versions and suites than asked for would be less; ours are all strong.
    r.finish(wire, Unread::IGNORED);
    version
}

fn validation(value: &PeerValidation) -> ValidationContextType {
    let names = |trusted_ca| tls::CertificateValidationContext {
        trusted_ca,
        match_typed_subject_alt_names: value.names.iter().map(san_match).collect(),
        ..Default::default()
    };
    match &value.roots {
        SecretSource::Named(name) if value.names.is_empty() => {
            ValidationContextType::ValidationContextSdsSecretConfig(sds(name))
        }
        SecretSource::Named(name) => {
            ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(names(None)),
                validation_context_sds_secret_config: Some(sds(name)),
                ..Default::default()
            })
        }
        SecretSource::Inline(SecretValue::TrustBundle { roots }) => {
            ValidationContextType::ValidationContext(names(Some(inline(roots))))
        }
        SecretSource::Inline(SecretValue::Certificate { chain, .. }) => {
            ValidationContextType::ValidationContext(names(Some(inline(chain))))
        }
        SecretSource::Files { certificates, .. } => {
            ValidationContextType::ValidationContext(names(Some(file(certificates))))
        }
    }
}

const UNREAD_VALIDATION: Unread = Unread::RefusedExcept(&[
    "watched_directory",
    "suppress_client_ca_list",
    "max_verify_depth",
]);

#[expect(deprecated, reason = "older control planes still send untyped names")]
fn read_validation(
    r: &mut Reader,
    mut wire: tls::CertificateValidationContext,
    named: Option<SecretSource>,
) -> Option<PeerValidation> {
    let given = wire
        .trusted_ca
        .take()
        .and_then(|wire| r.within("trusted_ca", |r| read_bundle_source(r, wire)));
    let mut names: Vec<SanMatch> = r
        .each(
            "match_typed_subject_alt_names",
            take(&mut wire.match_typed_subject_alt_names),
            read_san_match,
        )
        .into_iter()
        .flatten()
        .collect();
    for old in take(&mut wire.match_subject_alt_names) {
        let pattern = r.within("match_subject_alt_names", |r| read_pattern(r, old));
        names.extend([SanMatch::Uri(pattern.clone()), SanMatch::Dns(pattern)]);
    }
    r.finish(wire, UNREAD_VALIDATION);
    match named.or(given) {
        Some(roots) => Some(PeerValidation {
            roots,
            names,
            match_requested_host: false,
        }),
        None => {
            if !names.is_empty() {
                r.refuse("match_typed_subject_alt_names", "needs roots to trust");
            }
            None
        }
    }
}

fn san_match(value: &SanMatch) -> tls::SubjectAltNameMatcher {
    let (san_type, matcher) = match value {
        SanMatch::Uri(pattern) => (SanType::Uri, pattern),
        SanMatch::Dns(pattern) => (SanType::Dns, pattern),
    };
    tls::SubjectAltNameMatcher {
        san_type: san_type.into(),
        matcher: Some(pattern(matcher, false)),
        ..Default::default()
    }
}

fn read_san_match(r: &mut Reader, wire: tls::SubjectAltNameMatcher) -> Option<SanMatch> {
    let pattern = r.within("matcher", |r| {
        read_pattern(r, wire.matcher.unwrap_or_default())
    });
    match SanType::try_from(wire.san_type) {
        Ok(SanType::Uri) => Some(SanMatch::Uri(pattern)),
        Ok(SanType::Dns) => Some(SanMatch::Dns(pattern)),
        _ => {
            r.refuse("san_type", "only URI and DNS names are supported");
            None
        }
    }
}

fn certificate_value(value: &SecretValue) -> tls::TlsCertificate {
    let (chain, key) = match value {
        SecretValue::Certificate { chain, key } => (chain, Some(key)),
        SecretValue::TrustBundle { roots } => (roots, None),
    };
    tls::TlsCertificate {
        certificate_chain: Some(inline(chain)),
        private_key: key.map(|key| inline(key)),
        ..Default::default()
    }
}

fn read_certificate(r: &mut Reader, mut wire: tls::TlsCertificate) -> Option<SecretSource> {
    let (chain, key) = (wire.certificate_chain.take(), wire.private_key.take());
    r.finish_secret(
        wire,
        Unread::RefusedExcept(&[
            "watched_directory",
            "ocsp_staple",
            "signed_certificate_timestamp",
        ]),
    );
    let chain = chain.and_then(|wire| r.within("certificate_chain", |r| read_source(r, wire)));
    let key = key.and_then(|wire| r.within("private_key", |r| read_source(r, wire)));
    match (chain, key) {
        (Some(Source::Text(chain)), Some(Source::Text(key))) => {
            Some(SecretSource::Inline(SecretValue::Certificate {
                chain,
                key,
            }))
        }
        (Some(Source::File(certificates)), Some(Source::File(key))) => Some(SecretSource::Files {
            certificates,
            key: Some(key),
        }),
        _ => {
            r.refuse(
                "",
                "needs a chain and a key, both from files or both in place",
            );
            None
        }
    }
}

fn read_bundle_source(r: &mut Reader, wire: core::DataSource) -> Option<SecretSource> {
    Some(match read_source(r, wire)? {
        Source::Text(roots) => SecretSource::Inline(SecretValue::TrustBundle { roots }),
        Source::File(certificates) => SecretSource::Files {
            certificates,
            key: None,
        },
    })
}

enum Source {
    Text(String),
    File(String),
}

fn read_source(r: &mut Reader, wire: core::DataSource) -> Option<Source> {
    match wire.specifier {
        Some(Specifier::Filename(path)) => Some(Source::File(path)),
        Some(Specifier::InlineString(text)) => Some(Source::Text(text)),
        Some(Specifier::InlineBytes(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Some(Source::Text(text)),
            Err(_) => {
                r.refuse("inline_bytes", "is not PEM text");
                None
            }
        },
        Some(Specifier::EnvironmentVariable(_)) => {
            r.refuse("environment_variable", "is not supported");
            None
        }
        None => {
            r.refuse("", "is empty");
            None
        }
    }
}

fn inline(text: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::InlineString(text.to_owned())),
        ..Default::default()
    }
}

fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::Filename(path.to_owned())),
        ..Default::default()
    }
}

fn sds(name: &str) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ads()),
    }
}
