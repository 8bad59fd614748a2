// Who a connection manager takes for the client: hops of trusted proxies, detection extensions, internal addresses.

import { parseAddress } from "#base/net/address-bytes.ts";
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import type { HttpConnectionManager } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import {
  type CustomHeaderConfig,
  CustomHeaderConfigSchema,
} from "#wire/gen/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header_pb.ts";
import { XffConfigSchema } from "#wire/gen/envoy/extensions/http/original_ip_detection/xff/v3/xff_pb.ts";
import type { ClientAddressConfig, ClientDetection } from "./http.ts";
import { decodeRanges, typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeClientAddress(
  manager: HttpConnectionManager,
  path: string,
  problems: Problems,
): ClientAddressConfig {
  const useRemoteAddress = manager.useRemoteAddress ?? false;
  const extensions = manager.originalIpDetectionExtensions;
  if (extensions.length > 0 && (useRemoteAddress || manager.xffNumTrustedHops > 0)) {
    problems.invalid(
      `${path}.original_ip_detection_extensions`,
      "cannot stand beside use_remote_address or xff_num_trusted_hops",
    );
  }
  const internal = manager.internalAddressConfig;
  const ranges = internal?.cidrRanges ?? [];
  return {
    useRemoteAddress,
    xffTrustedHops: manager.xffNumTrustedHops,
    skipXffAppend: manager.skipXffAppend,
    appendXForwardedPort: manager.appendXForwardedPort,
    mapsIpv4: manager.representIpv4RemoteAddressAsIpv4MappedIpv6,
    internalRanges: decodeRanges(ranges, `${path}.internal_address_config.cidr_ranges`, problems),
    detection: extensions.flatMap(
      (extension, i) => decodeDetection(extension, `${path}.original_ip_detection_extensions[${i}]`, problems) ?? [],
    ),
  };
}

function decodeDetection(extension: TypedExtensionConfig, path: string, problems: Problems): ClientDetection | null {
  const any = extension.typedConfig;
  const type = typeName(any);
  if (any !== undefined && type === XffConfigSchema.typeName) {
    const xff = unpack(any, XffConfigSchema, path, problems);
    return xff === null ? null : detectByXff(xff.xffNumTrustedHops);
  }
  if (any !== undefined && type === CustomHeaderConfigSchema.typeName) {
    const custom = unpack(any, CustomHeaderConfigSchema, path, problems);
    if (custom === null) return null;
    if (custom.headerName === "") problems.invalid(`${path}.header_name`, "is missing");
    return detectByHeader(custom);
  }
  problems.unsupported(path, `the client address detection ${extension.name || type}`);
  return null;
}

function detectByXff(trustedHops: number): ClientDetection {
  return (header) => {
    const addresses = header("x-forwarded-for")?.split(",") ?? [];
    const ip = (addresses[addresses.length - 1 - trustedHops] ?? "").trim();
    return parseAddress(ip) === null ? null : { ip, isTrusted: addresses.length === 1 };
  };
}

function detectByHeader(custom: CustomHeaderConfig): ClientDetection {
  const name = custom.headerName.toLowerCase();
  const code = custom.rejectWithStatus?.code;
  const refusal = code === undefined ? null : code < 400 || code > 511 ? 403 : code;
  return (header) => {
    const ip = (header(name)?.split(",")[0] ?? "").trim();
    if (parseAddress(ip) === null) return refusal;
    return { ip, isTrusted: custom.allowExtensionToSetAddressAsTrusted };
  };
}
