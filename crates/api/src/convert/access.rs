//! Users, roles and tokens.

use rrm_spec::{Grant, GrantView};

use super::{OnWire, Reader, wire_enum};
use crate::{About, Caller, wire};

wire_enum!(Role { Read => Read, Submit => Submit, Admin => Admin, Work => Work });

impl OnWire for Grant {
    type Wire = wire::Grant;

    fn to_wire(self) -> Self::Wire {
        let Self { sha256, user, role, expires_at } = self;
        wire::Grant { sha256: sha256.to_wire(), user: user.to_wire(), role: role.to_wire(), expires_at }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::Grant { sha256, user, role, expires_at } = wire;
        let sha256 = reader.field("sha256", sha256);
        let user = reader.field("user", user);
        let role = reader.field("role", role);
        Some(Self { sha256: sha256?, user: user?, role: role?, expires_at })
    }
}

impl OnWire for GrantView {
    type Wire = wire::GrantView;

    fn to_wire(self) -> Self::Wire {
        let Self { grant, created_at } = self;
        wire::GrantView { grant: Some(grant.to_wire()), created_at }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::GrantView { grant, created_at } = wire;
        Some(Self { grant: reader.required("grant", grant)?, created_at })
    }
}

impl OnWire for About {
    type Wire = wire::AboutReply;

    fn to_wire(self) -> Self::Wire {
        let Self { version, sqlite_version, now, free_bytes, total_bytes, caller } = self;
        let Caller { user, role, expires_at } = caller;
        let (user, role) = (user.to_wire(), role.to_wire());
        wire::AboutReply { version, sqlite_version, now, free_bytes, total_bytes, user, role, expires_at }
    }

    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self> {
        let wire::AboutReply { version, sqlite_version, now, free_bytes, total_bytes, user, role, expires_at } = wire;
        let user = reader.field("user", user);
        let role = reader.field("role", role);
        let caller = Caller { user: user?, role: role?, expires_at };
        Some(Self { version, sqlite_version, now, free_bytes, total_bytes, caller })
    }
}
