//! Make before break: in which order types are sent so that nothing refers to what is not there
//! (xDS protocol, "Eventual consistency considerations").

use mesh_core::dataplane::ResourceType;

/// What is referred to goes before what refers to it. Clusters that nothing will refer to any more
/// are kept in the first pass and taken away in a second one, once routes and listeners were
/// accepted.
pub(super) const PUSH: [ResourceType; 5] = [
    ResourceType::Secret,
    ResourceType::Cluster,
    ResourceType::Endpoints,
    ResourceType::Listener,
    ResourceType::Routes,
];

/// A value per resource type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerType<T>([T; 5]);

impl<T> PerType<T> {
    pub(crate) fn map<U>(&self, f: impl FnMut(&T) -> U) -> PerType<U> {
        PerType(self.0.each_ref().map(f))
    }
}

impl<T> std::ops::Index<ResourceType> for PerType<T> {
    type Output = T;

    fn index(&self, resource_type: ResourceType) -> &T {
        &self.0[resource_type as usize]
    }
}

impl<T> std::ops::IndexMut<ResourceType> for PerType<T> {
    fn index_mut(&mut self, resource_type: ResourceType) -> &mut T {
        &mut self.0[resource_type as usize]
    }
}
