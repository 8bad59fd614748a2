// The permission side of an authorization rule: host, method, path, port and what else is about the destination.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { type Permission, PermissionSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { UriTemplateMatchConfigSchema } from "#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts";
import { cidrRange } from "../../envoy-values.ts";
import type { Attribute, Combine } from "./condition.ts";
import { envoyMetadataMatch } from "./metadata-match.ts";
import { headerPattern, stringPattern } from "./string-pattern.ts";

type Rule = NonNullable<Exclude<MessageInitShape<typeof PermissionSchema>, { $typeName: string }>["rule"]>;

const permission = (rule: Rule): Permission => create(PermissionSchema, { rule });

export const anyPermission: Permission = permission({ case: "any", value: true });

export function allPermissions(rules: Permission[]): Permission {
  return permission({ case: "andRules", value: { rules } });
}

export const combinePermissions: Combine<Permission> = {
  any: (rules) => permission({ case: "orRules", value: { rules } }),
  not: (rule) => permission({ case: "notRule", value: rule }),
  isWhole: (attribute) => attribute === envoyMetadata,
};

function each(httpOnly: boolean, one: (value: string) => Permission | undefined): Attribute<Permission> {
  return { httpOnly, matchers: (values) => values.map(one) };
}

export const host: Attribute<Permission> = each(true, (value) =>
  permission({ case: "header", value: headerPattern(":authority", value, true) }),
);

export const method: Attribute<Permission> = each(true, (value) =>
  permission({ case: "header", value: headerPattern(":method", value) }),
);

export const path: Attribute<Permission> = each(true, (value) =>
  isPathTemplate(value)
    ? permission({ case: "uriTemplate", value: { name: "uri-template", typedConfig: uriTemplate(value) } })
    : permission({ case: "urlPath", value: { rule: { case: "path", value: stringPattern(value) } } }),
);

export const destinationPort: Attribute<Permission> = each(false, (value) => {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : -1;
  return port >= 0 && port <= 65535 ? permission({ case: "destinationPort", value: port }) : undefined;
});

export const destinationIp: Attribute<Permission> = each(false, (value) => {
  const range = cidrRange(value);
  return range && permission({ case: "destinationIp", value: range });
});

export const serverName: Attribute<Permission> = each(false, (value) =>
  permission({ case: "requestedServerName", value: stringPattern(value) }),
);

/** `experimental.envoy.filters.a.b[c]`: key `c` of the dynamic metadata of filter `envoy.filters.a.b`. */
export const envoyMetadata: Attribute<Permission> = {
  httpOnly: false,
  matchers: (values, key) => {
    const match = /^experimental\.([^[]+)\[(.+)\]$/.exec(key);
    if (match === null) return [undefined];
    return [permission({ case: "metadata", value: envoyMetadataMatch(match[1] ?? "", match[2] ?? "", values) })];
  },
};

function isPathTemplate(value: string): boolean {
  return value.includes("{*}") || value.includes("{**}");
}

function uriTemplate(pattern: string): Any {
  const pathTemplate = pattern.replaceAll("{**}", "**").replaceAll("{*}", "*");
  return anyPack(UriTemplateMatchConfigSchema, create(UriTemplateMatchConfigSchema, { pathTemplate }));
}
