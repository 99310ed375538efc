mod arbitrary;
mod ext_authz;
mod wire;

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn clusters_round_trip(value in arbitrary::cluster()) {
        check(Resource::Cluster(value.into()))?;
    }

    #[test]
    fn endpoints_round_trip(value in arbitrary::endpoint_set()) {
        check(Resource::Endpoints(value.into()))?;
    }

    #[test]
    fn listeners_round_trip(value in arbitrary::listener()) {
        check(Resource::Listener(value.into()))?;
    }

    #[test]
    fn routes_round_trip(value in arbitrary::routes()) {
        check(Resource::Routes(value.into()))?;
    }

    #[test]
    fn secrets_round_trip(value in arbitrary::secret()) {
        check(Resource::Secret(value.into()))?;
    }

    #[test]
    fn nodes_round_trip(value in arbitrary::node()) {
        prop_assert_eq!(decode_node(&encode_node(&value)), Some(value));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for resource_type in TYPES {
            let any = wkt::Any { type_url: type_url(resource_type).into(), value: bytes.clone() };
            let _ = decode(&any.encode_to_vec());
        }
    }
}

const TYPES: [ResourceType; 5] = [
    ResourceType::Cluster,
    ResourceType::Endpoints,
    ResourceType::Listener,
    ResourceType::Routes,
    ResourceType::Secret,
];

fn check(resource: Resource) -> Result<(), TestCaseError> {
    let decoded = decode(&encode(&resource)).unwrap();
    prop_assert_eq!(&decoded.problems, &[]);
    prop_assert_eq!(decoded.resource, resource);
    Ok(())
}
