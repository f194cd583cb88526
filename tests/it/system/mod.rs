//! Whole servers, most of them as processes: commands, rights, hostile input, crashes, outages, load; and the documents
//! that describe all this.

mod commands;
mod crash;
mod documentation;
mod hostile_documents;
mod outage;
mod proportion;
mod rights;
mod storm;
