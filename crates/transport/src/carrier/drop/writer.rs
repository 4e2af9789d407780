//! Putting into a drop: envelopes that wait together become one object; doors get one of their own.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use stonechat_wire::drop::{
    CONTENT_MAX, DropKey, HEAD, ITEM_OVERHEAD, ITEMS_MAX, Kept, LIFE_S_MAX, LyingCard, Object, ObjectName, seal,
};
use stonechat_wire::frame::{FromRelay, PutItem, Refusal, ToRelay};
use stonechat_wire::ids::{DoorPath, EnvelopeId};
use tokio::sync::mpsc;

use super::folder::{Folder, Over, Removed, Wrote};
use super::reader::Wish;
use super::{DropError, say};
use crate::courier::{Input, LinkId};

/// How long a server that has too much to do is left alone, in ms.
const BUSY_MS: u32 = 30_000;
/// Frames that are taken together.
const FRAMES_MAX: usize = 256;

pub(super) struct Writer<'a> {
    link: LinkId,
    folder: Folder,
    key: DropKey,
    events: &'a mpsc::Sender<Input>,
    dice: ChaCha20Rng,
    /// Envelopes that wait, with their request.
    waiting: VecDeque<(u32, PutItem)>,
    /// The day whose folder is known to be there.
    made: Option<u32>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        link: LinkId,
        folder: Folder,
        key: DropKey,
        events: &'a mpsc::Sender<Input>,
        dice: ChaCha20Rng,
    ) -> Self {
        Self {
            link,
            folder,
            key,
            events,
            dice,
            waiting: VecDeque::new(),
            made: None,
        }
    }

    /// Writes what it is given, for as long as the server answers.
    pub(super) async fn run(
        mut self,
        mut frames: mpsc::UnboundedReceiver<ToRelay>,
        wishes: mpsc::UnboundedSender<Wish>,
    ) -> DropError {
        let mut taken = Vec::new();
        while frames.recv_many(&mut taken, FRAMES_MAX).await > 0 {
            for frame in taken.drain(..) {
                if let Err(error) = self.take(frame).await {
                    return error;
                }
            }
            while !self.waiting.is_empty() {
                if let Err(error) = self.put(&wishes).await {
                    return error;
                }
            }
        }
        DropError::Unwanted
    }

    async fn take(&mut self, frame: ToRelay) -> Result<(), DropError> {
        match frame {
            ToRelay::Put { request, items } => {
                self.waiting.extend(items.into_iter().map(|item| (request, item)));
                Ok(())
            }
            ToRelay::Door {
                request,
                path,
                proof_hash,
                expires_s,
                card,
                ..
            } => {
                let key = DropKey::of_door(&path, &proof_hash);
                self.open_door(request, &path, &key, &LyingCard { expires_s, card })
                    .await
            }
            ToRelay::CloseDoor { request, path, .. } => self.close_door(request, &path).await,
            _other => Ok(()),
        }
    }

    /// Writes one object of what waits. Nothing is *stored* before the server has said so.
    async fn put(&mut self, wishes: &mpsc::UnboundedSender<Wish>) -> Result<(), DropError> {
        let mut batch = self.batch();
        let kept = |item: &PutItem| Kept {
            ttl_s: item.ttl_s.min(LIFE_S_MAX),
            envelope: item.envelope.clone(),
        };
        let object = Object {
            written_at_s: self.folder.now_ms() / 1000,
            items: batch.iter().map(|(_, item)| kept(item)).collect(),
        };
        let (spot, wrote) = self.write(&object.encode()).await?;
        if wrote == Wrote::Stored {
            // The reader is told first: it may see the name at once.
            let _ = wishes.send(Wish::Wrote(spot, object.over_at_s()));
        } else {
            // It would not take the others either.
            batch.extend(self.waiting.drain(..));
        }
        say(self.events, self.link, answers(&batch, &wrote)).await;
        Ok(())
    }

    /// What fits one object.
    fn batch(&mut self) -> Vec<(u32, PutItem)> {
        let (mut batch, mut size) = (Vec::new(), HEAD);
        while let Some((_, item)) = self.waiting.front() {
            size += item.envelope.bytes().len() + ITEM_OVERHEAD;
            if batch.len() >= ITEMS_MAX || size > CONTENT_MAX {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        batch
    }

    /// Writes it under a new name, in today's folder. A name that is taken is tried with another one: a put whose answer was
    /// lost on the way, of which nobody knows whether all arrived.
    async fn write(&mut self, content: &[u8]) -> Result<((u32, ObjectName), Wrote), DropError> {
        let mut last = self.write_once(content).await?;
        if matches!(last.1, Wrote::NameTaken | Wrote::NoFolder) {
            last = self.write_once(content).await?;
        }
        Ok(last)
    }

    async fn write_once(&mut self, content: &[u8]) -> Result<((u32, ObjectName), Wrote), DropError> {
        let (day, name) = (self.folder.today(), self.name());
        if self.made != Some(day) {
            match self.folder.make(day).await {
                Ok(()) => self.made = Some(day),
                // The drop's own folder is gone: the next link makes it.
                Err(error @ DropError::Status(404 | 409)) => return Err(error),
                Err(DropError::Status(_)) => return Ok(((day, name), Wrote::NoRoom)),
                Err(error) => return Err(error),
            }
        }
        let wrote = self.write_as(day, &name, content).await?;
        if wrote != Wrote::Stored {
            // Some servers do not say that the folder is the matter.
            self.made = None;
        }
        Ok(((day, name), wrote))
    }

    async fn write_as(&mut self, day: u32, name: &ObjectName, content: &[u8]) -> Result<Wrote, DropError> {
        let mut seed = [0; 16];
        self.dice.fill_bytes(&mut seed);
        let Ok(bytes) = seal(&self.key, name, seed, content) else {
            return Ok(Wrote::NoRoom);
        };
        self.folder.put(Some(day), name, &bytes, Over::Nothing).await
    }

    fn name(&mut self) -> ObjectName {
        let mut name = [0; 16];
        self.dice.fill_bytes(&mut name);
        ObjectName::from_bytes(name)
    }

    async fn open_door(
        &mut self,
        request: u32,
        path: &DoorPath,
        key: &DropKey,
        lying: &LyingCard,
    ) -> Result<(), DropError> {
        let name = ObjectName::of_door(path);
        let mut seed = [0; 16];
        self.dice.fill_bytes(&mut seed);
        let wrote = match seal(key, &name, seed, &lying.encode()) {
            Ok(bytes) => self.folder.put(None, &name, &bytes, Over::Itself).await?,
            Err(_too_long) => Wrote::NoRoom,
        };
        let answer = match wrote {
            Wrote::Stored => FromRelay::DoorOpen { request },
            Wrote::NameTaken | Wrote::NoFolder | Wrote::NoRoom | Wrote::Busy => no_room(request),
        };
        say(self.events, self.link, vec![answer]).await;
        Ok(())
    }

    async fn close_door(&mut self, request: u32, path: &DoorPath) -> Result<(), DropError> {
        let name = ObjectName::of_door(path);
        let answer = match self.folder.remove(None, &name).await? {
            Removed::Gone => FromRelay::DoorOpen { request },
            Removed::Kept => no_room(request),
        };
        say(self.events, self.link, vec![answer]).await;
        Ok(())
    }
}

const fn no_room(request: u32) -> FromRelay {
    FromRelay::Refused {
        request,
        why: Refusal::NoRoom,
    }
}

/// What each request whose envelopes were in the object is told.
fn answers(batch: &[(u32, PutItem)], wrote: &Wrote) -> Vec<FromRelay> {
    let mut requests: BTreeMap<u32, Vec<EnvelopeId>> = BTreeMap::new();
    for (request, item) in batch {
        requests.entry(*request).or_default().push(item.envelope.id());
    }
    match wrote {
        Wrote::Stored => requests
            .into_iter()
            .map(|(request, ids)| FromRelay::Stored { request, ids })
            .collect(),
        Wrote::Busy => vec![FromRelay::Busy {
            retry_after_ms: BUSY_MS,
        }],
        Wrote::NameTaken | Wrote::NoFolder | Wrote::NoRoom => requests.into_keys().map(no_room).collect(),
    }
}
