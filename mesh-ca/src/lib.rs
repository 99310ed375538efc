//! mesh-ca
