//! The part of Kubernetes' resources that a mesh reads. Other fields are passed over: they are
//! for others to honour.

mod endpoint_slice;
mod pod;
mod secret;
mod service;

pub use endpoint_slice::{
    EndpointConditions, EndpointPort, EndpointSlice, ObjectReference, SliceEndpoint,
};
pub use pod::{
    Container, ContainerPort, Deployment, DeploymentSpec, EnvVar, EnvVarSource, FieldRef,
    LabelSelector, Pod, PodCondition, PodIp, PodMetadata, PodSpec, PodStatus, PodTemplate,
    SecurityContext,
};
pub use secret::{ConfigMap, Secret};
pub use service::{Service, ServicePort, ServiceSpec, ServiceType};
