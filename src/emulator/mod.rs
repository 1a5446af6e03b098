//! Local stand-ins of remote services: the same protocol, with containers of this machine in place of the service's nodes.
//!
//! An emulator is a service for any client, the service's own ones included. It knows nothing of run configs, and no target knows it: a
//! target that is pointed at one talks to it as to the service.

pub mod azureml;
