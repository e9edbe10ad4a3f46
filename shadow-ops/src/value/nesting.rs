//! Arrays within arrays: as deep as bytes may say before their parsing is given up.
//!
//! Parsing recurses, and two bytes are enough for a level: without a limit a short frame would end the stack, and the process.

use std::cell::Cell;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Levels of arrays that are parsed. SQL makes one.
const DEEPEST: u8 = 6;

thread_local! {
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

/// Gives the level back however parsing ends.
struct Level;

impl Level {
    fn enter() -> Option<Level> {
        DEPTH.with(|depth| {
            let deeper = depth.get() + 1;
            (deeper <= DEEPEST).then(|| {
                depth.set(deeper);
                Level
            })
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Parses what is one level deeper.
pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let Some(_level) = Level::enter() else {
        return Err(D::Error::custom("arrays are nested too deep"));
    };
    T::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use crate::value::{DataType, Value};

    #[test]
    fn depth_is_limited() {
        let mut value = Value::Int4(1);
        for depth in 1..20 {
            value = Value::Array(std::sync::Arc::new(vec![value]));
            let bytes = postcard::to_stdvec(&value).unwrap();
            assert_eq!(postcard::from_bytes::<Value>(&bytes).is_ok(), depth <= 6, "depth {depth}");
        }
        // A frame of nothing but the beginnings of arrays.
        let tag = postcard::to_stdvec(&Value::Array(Default::default())).unwrap()[0];
        assert!(postcard::from_bytes::<Value>(&[tag, 1].repeat(1_000_000)).is_err());
        let ty = postcard::to_stdvec(&DataType::Array(Box::new(DataType::Int4))).unwrap()[0];
        assert!(postcard::from_bytes::<DataType>(&vec![ty; 1_000_000]).is_err());
        assert!(postcard::from_bytes::<Value>(&postcard::to_stdvec(&Value::Bool(true)).unwrap()).is_ok());
    }
}
