//! How messages are put on the wire and taken from it: as Protocol Buffers, those of too many parts excepted.
//!
//! A part of a message may take two bytes on the wire and hundreds in memory, and all parts are there before anybody can count them. So they
//! are counted on the wire first. What lives here: the codec; `weight` counts. Relies on: tonic-prost. Never: knows what a message means.

mod weight;

use std::cell::Cell;
use std::marker::PhantomData;

use prost::{Message, Name};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use weight::weigh;

/// What all parts of a message may take in memory, as far as it is estimated: 96 MiB. An append of as many events and tags as a store takes
/// weighs less; one of as many records of KurrentDB's second protocol does if each has up to seven properties.
pub const MESSAGE_WEIGHT_MAX: usize = 96 << 20;

/// A smaller message is not looked at: whatever its parts, they take little more than the call itself.
const LIGHT_BYTES: usize = 512;

thread_local! {
    /// What messages weigh that this thread has made since it was last asked.
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// What the messages weigh, in bytes, that this thread has made since it was last asked. Who answers a request knows by it what the request has
/// become: a call that is answered once may be held for long when its message is there already.
#[must_use]
pub fn take_made() -> usize {
    MADE.take()
}

/// The codec of all services: the encoding of Protocol Buffers, with a limit to what a message becomes in memory.
///
/// A message over [`MESSAGE_WEIGHT_MAX`] is refused with `OUT_OF_RANGE`, as one of too many bytes is.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Weighing<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Weighing(ProstCodec::<T, U>::default().decoder())
    }
}

/// The decoder of [`Codec`].
#[derive(Debug, Clone)]
pub struct Weighing<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for Weighing<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        use prost::bytes::Buf as _;
        let whole = source.chunk();
        // One buffer holds all of a message, or not all of it would be weighed.
        if whole.len() < source.remaining() {
            return Err(Status::internal("a message lies in two places"));
        }
        check_weight::<U>(whole)?;
        self.0.decode(source)
    }
}

/// A message from its encoding, as [`Codec`] makes it. Nothing of it stays in the encoding's memory.
///
/// # Errors
/// `OUT_OF_RANGE`: it is over [`MESSAGE_WEIGHT_MAX`]. `INTERNAL`: it is no such message.
pub fn decode<T: Message + Name + Default>(bytes: &[u8]) -> Result<T, Status> {
    check_weight::<T>(bytes)?;
    T::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}

fn check_weight<T: Name>(message: &[u8]) -> Result<(), Status> {
    if message.len() <= LIGHT_BYTES {
        return Ok(());
    }
    let weight = weigh(&T::full_name(), message);
    let Some(weight) = weight.filter(|weight| *weight <= MESSAGE_WEIGHT_MAX) else {
        return Err(too_heavy(message.len()));
    };
    MADE.set(MADE.get().saturating_add(weight));
    Ok(())
}

fn too_heavy(bytes: usize) -> Status {
    let limit = MESSAGE_WEIGHT_MAX >> 20;
    Status::out_of_range(format!(
        "the message of {bytes} bytes has so many parts that they would take more than {limit} MiB of memory; send fewer in one message"
    ))
}
