//! What kinds of problems there are, by the numbers and names users of `istioctl analyze` know.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $prefix:literal $number:literal,)+) => {
        /// The kind of a problem. Those that Istio's analyzers know bear their numbers and names
        /// (`IST0101`), the others are ours (`MESH0001`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code there is, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As in `IST0101`.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($prefix, $number),)+
                }
            }

            /// As in `ReferencedResourceNotFound`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

codes! {
    /// A name leads nowhere.
    ReferencedResourceNotFound = "IST" "0101",
    /// Nobody said whether the pods of a namespace get proxies.
    NamespaceNotInjected = "IST" "0102",
    /// A pod should have a proxy and has none.
    PodMissingProxy = "IST" "0103",
    /// A resource is not as its kind wants it, or cannot be meant; it is left out.
    SchemaValidationError = "IST" "0106",
    /// Two VirtualServices are for the same host at sidecars.
    ConflictingMeshGatewayVirtualServiceHosts = "IST" "0109",
    /// Two Sidecars select the same workload.
    ConflictingSidecarWorkloadSelectors = "IST" "0110",
    /// Two Sidecars are for a whole namespace.
    MultipleSidecarsWithoutWorkloadSelectors = "IST" "0111",
    /// A destination with several ports, and none is chosen.
    VirtualServiceDestinationPortSelectorRequired = "IST" "0112",
    /// Services disagree on the protocol of a workload's port.
    DeploymentAssociatedToMultipleServices = "IST" "0116",
    /// The name of a port does not tell its protocol.
    PortNameIsNotUnderNamingConvention = "IST" "0118",
    /// A selector that selects nothing.
    NoMatchingWorkloadsFound = "IST" "0127",
    /// A host is called by TLS without authorities of its own to check it against.
    NoServerCertificateVerificationDestinationLevel = "IST" "0128",
    /// The same, for one port.
    NoServerCertificateVerificationPortLevel = "IST" "0129",
    /// A rule that no request reaches.
    VirtualServiceUnreachableRule = "IST" "0130",
    /// A match that an earlier one covers.
    VirtualServiceIneffectiveMatch = "IST" "0131",
    /// A VirtualService for hosts that its Gateway does not take.
    VirtualServiceHostNotFoundInGateway = "IST" "0132",
    /// A port without HTTP can be told apart by address only, and there is none.
    ServiceEntryAddressesRequired = "IST" "0134",
    /// One port of a workload under several ports of several services.
    DeploymentConflictingPorts = "IST" "0137",
    /// Two Gateways show the same certificate.
    GatewayDuplicateCertificate = "IST" "0138",
    /// A port that others call is open on the loopback address only.
    LocalhostListener = "IST" "0143",
    /// An application runs as the proxy's user.
    InvalidApplicationUID = "IST" "0144",
    /// Two Gateways open one port of one workload for one host.
    ConflictingGateways = "IST" "0145",
    /// A rule asks for claims where no token is verified.
    JwtClaimBasedRoutingWithoutRequestAuthN = "IST" "0149",
    /// An EnvoyFilter that depends on the order of others.
    EnvoyFilterUsesRelativeOperation = "IST" "0151",
    /// An EnvoyFilter replaces what cannot be replaced.
    EnvoyFilterUsesReplaceOperationIncorrectly = "IST" "0152",
    /// An EnvoyFilter adds where nothing can be added.
    EnvoyFilterUsesAddOperationIncorrectly = "IST" "0153",
    /// An EnvoyFilter removes where nothing can be removed.
    EnvoyFilterUsesRemoveOperationIncorrectly = "IST" "0154",
    /// An EnvoyFilter that depends on the order of others, and on the proxy's version.
    EnvoyFilterUsesRelativeOperationWithProxyVersion = "IST" "0155",
    /// Two Telemetries select the same workload.
    ConflictingTelemetryWorkloadSelectors = "IST" "0159",
    /// Two Telemetries are for a whole namespace.
    MultipleTelemetriesWithoutWorkloadSelectors = "IST" "0160",
    /// A Secret that holds no certificate and key.
    InvalidGatewayCredential = "IST" "0161",
    /// A Gateway opens a port that the gateway's Service does not lead to.
    GatewayPortNotDefinedOnService = "IST" "0162",
    /// A selector where only a target reference counts.
    IneffectiveSelector = "IST" "0166",
    /// A policy for workloads it does not apply to.
    IneffectivePolicy = "IST" "0167",
    /// A subset without instances.
    DestinationRuleSubsetNotSelectPods = "IST" "0173",
    /// A DestinationRule for a host nobody declares.
    UnknownDestinationRuleHost = "IST" "0174",
    /// Keys of token issuers are fetched from anywhere.
    JwksUriFetchUnrestricted = "IST" "0175",
    /// ServiceEntries disagree on the protocol of a port of a host.
    ConflictingServiceEntryProtocol = "IST" "0177",
    /// A VirtualService rules a host that belongs to another namespace.
    HostOfAnotherNamespace = "MESH" "0001",
    /// A rule that allows nothing, as another denies all of it.
    ShadowedPolicy = "MESH" "0002",
    /// A policy asks who calls, where callers need not say.
    PermissiveHole = "MESH" "0003",
    /// A resource is written in several files.
    WrittenTwice = "MESH" "0004",
    /// Two resources of which only the older counts.
    RivalPolicies = "MESH" "0005",
    /// A value in a case in which it matches nothing.
    WrongCase = "MESH" "0006",
}

/// `IST0101 ReferencedResourceNotFound`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}
