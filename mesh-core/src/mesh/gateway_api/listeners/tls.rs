//! How a listener ends callers' TLS.

use super::{Listener, Protocol};
use crate::{
    config::gateway_api::{
        FrontendValidation, FrontendValidationMode, Gateway as Written,
        Listener as WrittenListener, TlsMode,
    },
    mesh::{
        ClientCertificate, EndTls, ServerTls,
        gateway_api::{certificates, status::Condition, world::World},
    },
    name::ResourceRef,
};

impl Listener<'_> {
    pub(super) fn find_tls(&mut self, world: &World<'_>, gateway: &ResourceRef, of: &Written) {
        self.tls = match self.protocol {
            Protocol::Http | Protocol::Tcp => Some(ServerTls::Off {
                https_redirect: false,
            }),
            Protocol::Tls(TlsMode::Passthrough) => Some(ServerTls::Passthrough),
            Protocol::Unsupported => None,
            Protocol::Https | Protocol::Tls(TlsMode::Terminate) => self
                .end_tls(world, gateway, of)
                .map(|end| ServerTls::End(Box::new(end))),
        };
    }

    fn end_tls(
        &mut self,
        world: &World<'_>,
        gateway: &ResourceRef,
        of: &Written,
    ) -> Option<EndTls> {
        let written = self.written.tls.as_ref();
        let Some(certificate) = written.and_then(|tls| tls.certificate_refs.first()) else {
            let message = "a certificate is needed to end TLS".to_owned();
            self.fails_to_resolve("InvalidCertificateRef", message);
            return None;
        };
        let certificate = certificates::certificate(world, gateway, certificate);
        let certificate = certificate
            .map_err(|error| self.fails_to_resolve(error.reason, error.message))
            .ok();
        let client = match validation(self.written, of) {
            None => Some(ClientCertificate::NotAsked),
            Some(validation) => self.client(world, gateway, validation),
        };
        Some(EndTls {
            certificate: Some(certificate?),
            client: client?,
            subject_alt_names: Vec::new(),
            min_version: None,
            max_version: None,
        })
    }

    fn client(
        &mut self,
        world: &World<'_>,
        gateway: &ResourceRef,
        written: &FrontendValidation,
    ) -> Option<ClientCertificate> {
        if written.mode == FrontendValidationMode::AllowInsecureFallback {
            let message = "AllowInsecureFallback is not supported: the port stays closed";
            let condition = Condition::fails("Accepted", "UnsupportedValue", message);
            self.conditions.push(condition);
            return None;
        }
        let mut first = None;
        for (i, reference) in written.ca_certificate_refs.iter().enumerate() {
            match certificates::roots(world, gateway, reference) {
                Ok(roots) => first = first.or(Some((i, roots))),
                Err(error) => self.fails_to_resolve(error.reason, error.message),
            }
        }
        let Some((_, roots)) = first else {
            let message = "no roots to check callers' certificates with";
            let condition = Condition::fails("Accepted", "NoValidCACertificate", message);
            self.conditions.push(condition);
            return None;
        };
        Some(ClientCertificate::Required(roots))
    }
}

/// How callers' certificates are checked: what the Gateway says for the port, else for all.
fn validation<'a>(
    listener: &'a WrittenListener,
    of: &'a Written,
) -> Option<&'a FrontendValidation> {
    let own = listener.tls.as_ref()?.frontend_validation.as_ref();
    let frontend = of.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    own.or_else(|| {
        let frontend = frontend?;
        let mut ports = frontend.per_port.iter();
        match ports.find(|per_port| per_port.port == listener.port) {
            Some(per_port) => per_port.tls.validation.as_ref(),
            None => frontend.default.validation.as_ref(),
        }
    })
}
