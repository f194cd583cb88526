//! Whole servers, most of them as processes: commands, rights, what is shown to whom, hostile clients and documents,
//! crashes, outages, load; and the documents that describe all this.

mod absence;
mod activation;
mod commands;
mod crash;
mod crowds;
mod delivery;
mod documentation;
mod dump;
mod exposure;
mod frozen;
mod hostile_clients;
mod hostile_documents;
mod memory;
mod outage;
mod proportion;
mod rights;
mod storm;
mod unread;
mod unreadable;
