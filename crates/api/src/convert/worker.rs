//! Workers: who they are, and how they are told what to do.

use rrm_spec::{AttemptId, Device, DeviceInfo, HeartbeatReply, HeldAttempt, Instruction, MAX_SHARE, Registration};

use super::{OnWire, Reader, list, wire_enum};
use crate::{AttemptEnd, Registered, wire};

wire_enum!(Instruction { Continue => Continue, Stop => Stop, Abandon => Abandon });

impl OnWire for Device {
    type Wire = wire::Device;

    fn to_wire(self) -> Self::Wire {
        let device = match self {
            Self::Cpu => wire::device::Device::Cpu(wire::Cpu {}),
            Self::Cuda(ordinal) => wire::device::Device::Cuda(ordinal),
        };
        wire::Device { device: Some(device) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Device { device } = wire;
        match device {
            Some(wire::device::Device::Cpu(wire::Cpu {})) => Some(Self::Cpu),
            Some(wire::device::Device::Cuda(ordinal)) => Some(Self::Cuda(ordinal)),
            None => reader.missing(),
        }
    }
}

impl OnWire for Registration {
    type Wire = wire::RegisterRequest;

    fn to_wire(self) -> Self::Wire {
        let Self { node, version, boot_id, devices, labels, code_version } = self;
        wire::RegisterRequest { node, version, boot_id, devices: list(devices), labels: list(labels), code_version }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::RegisterRequest { node, version, boot_id, devices, labels, code_version } = wire;
        if boot_id.is_empty() {
            reader.at("boot_id").missing::<()>();
        }
        if devices.is_empty() {
            reader.at("devices").refuse::<()>("", "must be one or more");
        }
        let devices = reader.list("devices", devices);
        let labels = reader.list("labels", labels);
        Some(Self { node, version, boot_id, devices: devices?, labels: labels?, code_version })
    }
}

impl OnWire for DeviceInfo {
    type Wire = wire::DeviceInfo;

    fn to_wire(self) -> Self::Wire {
        let Self { device, name, memory_mib, share } = self;
        wire::DeviceInfo { device: Some(device.to_wire()), name, memory_mib, share }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::DeviceInfo { device, name, memory_mib, share } = wire;
        if !(1..=MAX_SHARE).contains(&share) {
            reader.at("share").refuse::<()>(share, &format!("must be 1 to {MAX_SHARE}"));
        }
        Some(Self { device: reader.required("device", device)?, name, memory_mib, share })
    }
}

impl OnWire for Registered {
    type Wire = wire::RegisterReply;

    fn to_wire(self) -> Self::Wire {
        let Self { worker, ttl_ms, heartbeat_ms } = self;
        wire::RegisterReply { worker: worker.to_wire(), ttl_ms, heartbeat_ms }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::RegisterReply { worker, ttl_ms, heartbeat_ms } = wire;
        let worker = reader.field("worker", worker)?;
        Some(Self { worker, ttl_ms, heartbeat_ms })
    }
}

impl OnWire for HeldAttempt {
    type Wire = wire::HeldAttempt;

    fn to_wire(self) -> Self::Wire {
        let Self { attempt, progress } = self;
        wire::HeldAttempt { attempt: attempt.to_wire(), progress: progress.map(OnWire::to_wire) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::HeldAttempt { attempt, progress } = wire;
        let attempt = reader.field("attempt", attempt);
        let progress = reader.optional("progress", progress);
        Some(Self { attempt: attempt?, progress: progress? })
    }
}

impl OnWire for HeartbeatReply {
    type Wire = wire::HeartbeatReply;

    fn to_wire(self) -> Self::Wire {
        let Self { instructions, known } = self;
        wire::HeartbeatReply { instructions: list(instructions), known: known.map(OnWire::to_wire) }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::HeartbeatReply { instructions, known } = wire;
        let instructions = reader.list("instructions", instructions);
        let known = reader.optional("known", known);
        Some(Self { instructions: instructions?, known: known? })
    }
}

impl OnWire for (AttemptId, Instruction) {
    type Wire = wire::AttemptInstruction;

    fn to_wire(self) -> Self::Wire {
        let (attempt, instruction) = self;
        wire::AttemptInstruction { attempt: attempt.to_wire(), instruction: instruction.to_wire() }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AttemptInstruction { attempt, instruction } = wire;
        let attempt = reader.field("attempt", attempt);
        let instruction = reader.field("instruction", instruction);
        Some((attempt?, instruction?))
    }
}

/// An attempt's end, told with the number of its records.
impl OnWire for (AttemptId, u64, AttemptEnd) {
    type Wire = wire::SettleRequest;

    fn to_wire(self) -> Self::Wire {
        let (attempt, records_seq, AttemptEnd { outcome, message, exit_code, signal }) = self;
        let (attempt, outcome) = (attempt.to_wire(), outcome.to_wire());
        wire::SettleRequest { attempt, records_seq, outcome, message, exit_code, signal }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::SettleRequest { attempt, records_seq, outcome, message, exit_code, signal } = wire;
        let attempt = reader.field("attempt", attempt);
        let outcome = reader.field("outcome", outcome);
        Some((attempt?, records_seq, AttemptEnd { outcome: outcome?, message, exit_code, signal }))
    }
}
