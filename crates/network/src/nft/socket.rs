//! A netfilter socket of one namespace: sends transactions, reads listings.

use super::encode::Batch;
use crate::error::NetworkError;
use crate::netlink::Netlink;
use std::io;

const PROTOCOL: isize = 12;

/// A netfilter socket of the namespace in which it was opened.
pub(crate) struct NftSocket(Netlink);

impl NftSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetworkError> {
        Netlink::open(PROTOCOL).map(Self).map_err(NetworkError::netlink("cannot open a netfilter socket"))
    }

    /// Applies the transaction; nothing of it when any message is refused.
    pub fn apply(&self, batch: Batch) -> Result<(), NetworkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let last = batch.last_sequence();
        let (bytes, notes) = batch.into_bytes();
        let refusals = self
            .0
            .transact(&bytes, last)
            .map_err(NetworkError::netlink("cannot talk to the kernel about nf_tables"))?;
        match refusals.into_iter().next() {
            None => Ok(()),
            Some(refusal) => {
                let at = refusal.sequence.checked_sub(1).and_then(|at| notes.get(at as usize));
                let note = at.map_or("finish an nf_tables transaction", String::as_str);
                Err(NetworkError::Netlink { action: format!("cannot {note}"), source: refusal.error })
            }
        }
    }

    /// Lists objects: the body of each message of the answer, without `nfgenmsg`.
    pub fn list(&self, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), NetworkError> {
        let each = |_, body: &[u8]| each(body.get(4..).unwrap_or_default());
        match self.0.dump(request, each) {
            // What is to be listed does not exist: nothing to tell.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(NetworkError::netlink("cannot list nf_tables")),
        }
    }
}
