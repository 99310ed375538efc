//! How connections are protected.

use crate::{
    config::istio::{self, ClientTlsMode},
    mesh::{
        destination::{Certificate, ClientTls, Roots, TlsNames},
        findings::Findings,
    },
};

/// How connections are protected.
pub(super) fn tls(
    field: &str,
    written: Option<&istio::ClientTlsSettings>,
    findings: &mut Findings<'_>,
) -> Option<ClientTls> {
    let written = written?;
    let field = format!("{field}.tls");
    let names = TlsNames {
        sni: Some(written.sni.clone()).filter(|sni| !sni.is_empty()),
        subject_alt_names: written.subject_alt_names.clone(),
    };
    let credential = &written.credential_name;
    let by_file = [
        &written.client_certificate,
        &written.private_key,
        &written.ca_certificates,
    ];
    if !credential.is_empty() && by_file.iter().any(|file| !file.is_empty()) {
        let at = format!("{field}.credentialName");
        findings.error(&at, "files are given too: one of both is allowed");
    }
    let roots = match (&**credential, &*written.ca_certificates) {
        ("", "") => None,
        ("", file) => Some(Roots::File(file.into())),
        (credential, _) => Some(Roots::Credential(credential.into())),
    };
    let own = |certificate| ClientTls::Own {
        certificate,
        roots,
        names: names.clone(),
        insecure: written.insecure_skip_verify.unwrap_or(false),
    };
    Some(match written.mode {
        ClientTlsMode::Disable => ClientTls::Off,
        ClientTlsMode::IstioMutual => {
            if !credential.is_empty() || by_file.iter().any(|file| !file.is_empty()) {
                findings.error(&field, "ISTIO_MUTUAL uses the mesh's own certificates");
                findings.advise("leave certificates away, or use MUTUAL");
            }
            ClientTls::Mesh(names)
        }
        ClientTlsMode::Simple => own(None),
        ClientTlsMode::Mutual => own(Some(match &**credential {
            "" => {
                if written.client_certificate.is_empty() || written.private_key.is_empty() {
                    findings.error(&field, "MUTUAL needs clientCertificate and privateKey");
                    findings.advise("or a credentialName");
                }
                Certificate::Files {
                    certificate: written.client_certificate.clone(),
                    key: written.private_key.clone(),
                }
            }
            credential => Certificate::Credential(credential.into()),
        })),
    })
}
