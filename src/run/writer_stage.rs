//! The writer, on a thread of its own: an fdatasync must not hold up what is
//! in flight. One writer owns the files; this hands it outcomes in order.

use super::error::RunError;
use super::stats::Counted;
use crate::checkpoint::ItemKey;
use crate::outcome::{Failure, Outcome};
use crate::pace::Note;
use crate::write::{Appended, Closing, Counts, WriteError, Writer};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Outcomes handed over together: a thread's wake-up costs as much as a line.
const BATCH: usize = 64;
/// The same in bytes: a batch of this size is handed over whatever its number.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that wait for the disk at most.
const QUEUE: usize = 8;

enum Message {
    Outcomes(Vec<Outcome>),
    Commit(Note, Option<String>, Closing),
}

/// What the writer answers.
#[derive(Debug)]
pub(super) enum Reply {
    Committed,
    Failed(WriteError),
    /// Not written as they were handed on.
    Unwritten(Vec<Unwritten>),
}

/// An outcome that is not in the output as it was handed on.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) id: String,
    pub(super) key: ItemKey,
    /// As what it was counted.
    pub(super) counted: Counted,
    /// The failure that is written in its place; without one, the item has failed before.
    pub(super) failure: Option<Failure>,
    /// More of the item was to come.
    pub(super) goes_on: bool,
}

impl Unwritten {
    fn of(outcome: &Outcome, failure: Option<Failure>) -> Unwritten {
        let pages = outcome.pages.as_ref();
        Unwritten {
            id: outcome.id.clone(),
            key: ItemKey::of(&outcome.id, outcome.occurrence),
            counted: Counted::of(outcome),
            failure,
            goes_on: pages.is_some_and(|pages| pages.trail.is_some()),
        }
    }
}

/// Writes them; tells which were not written as they are.
fn append(writer: &mut Writer, outcomes: &[Outcome]) -> Result<Vec<Unwritten>, WriteError> {
    let mut unwritten = Vec::new();
    for outcome in outcomes {
        match writer.append(outcome)? {
            Appended::Written => {}
            Appended::Failed(failure) => unwritten.push(Unwritten::of(outcome, Some(failure))),
            Appended::Left => unwritten.push(Unwritten::of(outcome, None)),
        }
    }
    Ok(unwritten)
}

/// What the writer leaves behind.
#[derive(Debug, Default)]
pub(super) struct Final {
    pub(super) counts: Counts,
    pub(super) unexpected_fields: BTreeMap<String, u64>,
}

/// The run's end of the stage.
#[derive(Debug)]
pub(super) struct WriterStage {
    messages: mpsc::Sender<Message>,
    batch: Vec<Outcome>,
    batch_bytes: usize,
    pub(super) replies: mpsc::UnboundedReceiver<Reply>,
    /// Came while a commit's answer was due.
    unwritten: Vec<Unwritten>,
    thread: JoinHandle<Final>,
}

pub(super) fn start(mut writer: Writer) -> Result<WriterStage, RunError> {
    let (messages, mut inbox) = mpsc::channel(QUEUE);
    // The run reads replies before it hands on more. Were there a bound, each
    // could wait for the other; so it is the bound of what it has handed on.
    let (reply, replies) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || {
            while let Some(message) = inbox.blocking_recv() {
                let result = match message {
                    Message::Outcomes(outcomes) => match append(&mut writer, &outcomes) {
                        Ok(unwritten) if unwritten.is_empty() => continue,
                        Ok(unwritten) => Ok(Reply::Unwritten(unwritten)),
                        Err(error) => Err(error),
                    },
                    Message::Commit(note, known_good, closing) => writer
                        .commit(note, known_good.as_deref(), closing)
                        .map(|()| Reply::Committed),
                };
                let is_last = result.is_err();
                let gone = reply.send(result.unwrap_or_else(Reply::Failed)).is_err();
                if gone || is_last {
                    break;
                }
            }
            Final {
                counts: writer.counts(),
                unexpected_fields: writer.unexpected_fields().clone(),
            }
        })
        .map_err(RunError::Thread)?;
    Ok(WriterStage {
        messages,
        batch: Vec::new(),
        batch_bytes: 0,
        replies,
        unwritten: Vec::new(),
        thread,
    })
}

impl WriterStage {
    /// Takes an outcome, and hands it on with others, at the next commit at the
    /// latest: before that, nobody sees it anyway. Waits while the disk is behind.
    pub(super) async fn outcome(&mut self, outcome: Outcome) -> Result<(), RunError> {
        self.batch_bytes += match &outcome.pages {
            None => outcome.fate.as_ref().map_or(0, |record| record.body.len()),
            Some(pages) => pages.bytes(),
        };
        self.batch.push(outcome);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<(), RunError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.send(Message::Outcomes(batch)).await
    }

    /// Asks for a commit of all that was taken.
    pub(super) async fn commit(
        &mut self,
        note: Note,
        known_good: Option<String>,
        closing: Closing,
    ) -> Result<(), RunError> {
        self.hand_over().await?;
        self.send(Message::Commit(note, known_good, closing)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), RunError> {
        if self.messages.send(message).await.is_ok() {
            return Ok(());
        }
        // The thread is gone; its last reply says why.
        loop {
            match self.replies.recv().await {
                Some(Reply::Failed(error)) => return Err(error.into()),
                Some(Reply::Committed | Reply::Unwritten(_)) => {}
                None => return Err(RunError::StageGone("write")),
            }
        }
    }

    /// Waits for the answer to the last commit.
    pub(super) async fn reply(&mut self) -> Result<(), RunError> {
        loop {
            match self.replies.recv().await {
                Some(Reply::Committed) => return Ok(()),
                Some(Reply::Failed(error)) => return Err(error.into()),
                Some(Reply::Unwritten(unwritten)) => self.unwritten.extend(unwritten),
                None => return Err(RunError::StageGone("write")),
            }
        }
    }

    /// What was not written as it was handed on, as far as [`reply`](Self::reply) was told.
    pub(super) fn take_unwritten(&mut self) -> Vec<Unwritten> {
        std::mem::take(&mut self.unwritten)
    }

    /// Ends the stage and closes the files.
    pub(super) fn end(self) -> Result<Final, RunError> {
        drop(self.messages);
        drop(self.replies);
        self.thread.join().map_err(|_| RunError::StageGone("write"))
    }
}
