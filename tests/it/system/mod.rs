//! Whole servers, most of them as processes: commands, rights, hostile input, crashes, outages, load; and the documents
//! that describe all this.

mod commands;
mod crash;
mod crowds;
mod delivery;
mod documentation;
mod frozen;
mod hostile_documents;
mod outage;
mod rights;
mod storm;
mod unread;
