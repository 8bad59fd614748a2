// envoy.filters.http.ip_tagging: puts names of the address blocks that the client's address is in on the request.
import {
  type IPTagging,
  IPTaggingSchema,
  IPTagging_RequestType as RequestType,
} from "#wire/gen/envoy/extensions/filters/http/ip_tagging/v3/ip_tagging_pb.ts";
import { X_ENVOY_INTERNAL } from "#wire/http/header-names.ts";
import type { CidrSet } from "../../../config/matcher.ts";
import { decodeRanges } from "../../../config/parse/values.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";

interface IpTaggingSettings {
  readonly requests: "both" | "internal" | "external";
  readonly tags: readonly { readonly name: string; readonly addresses: CidrSet }[];
}

export const ipTagging: HttpFilterType = defineHttpFilter<IpTaggingSettings>({
  type: "ip_tagging",
  messages: [settingsFrom(IPTaggingSchema, parse)],
  configure: ({ requests, tags }, { environment: { stats }, statPrefix }) => {
    const total = stats.counter(`${statPrefix}ip_tagging.total`);
    const noHit = stats.counter(`${statPrefix}ip_tagging.no_hit`);
    const counted = tags.map((tag) => ({ ...tag, hits: stats.counter(`${statPrefix}ip_tagging.${tag.name}.hit`) }));
    return sharedFilter({
      onRequestHeaders: (stream, headers) => {
        if (requests !== "both") {
          const isInternal = headers.getId(X_ENVOY_INTERNAL) === "true";
          if (isInternal !== (requests === "internal")) return CONTINUE;
        }
        let names = headers.get("x-envoy-ip-tags") ?? "";
        const before = names;
        for (const { name, addresses, hits } of counted) {
          if (!addresses.contains(stream.remoteIp)) continue;
          hits.add();
          names += names === "" ? name : `,${name}`;
        }
        if (names !== before) headers.set("x-envoy-ip-tags", names);
        else noHit.add();
        total.add();
        return CONTINUE;
      },
    });
  },
});

const requestTypes: Readonly<Record<number, IpTaggingSettings["requests"]>> = {
  [RequestType.BOTH]: "both",
  [RequestType.INTERNAL]: "internal",
  [RequestType.EXTERNAL]: "external",
};

function parse(message: IPTagging, { path, problems }: FilterPlace): IpTaggingSettings {
  if (message.ipTags.length === 0) problems.invalid(`${path}.ip_tags`, "is empty");
  return {
    requests: requestTypes[message.requestType] ?? "both",
    tags: message.ipTags.flatMap(({ ipTagName, ipList }, i) => {
      const at = `${path}.ip_tags[${i}]`;
      if (!/^[\w.-]+$/.test(ipTagName)) problems.invalid(`${at}.ip_tag_name`, `"${ipTagName}" is no name for a tag`);
      const addresses = decodeRanges(ipList, `${at}.ip_list`, problems);
      if (addresses === null) problems.invalid(`${at}.ip_list`, "is empty");
      return addresses === null ? [] : [{ name: ipTagName, addresses }];
    }),
  };
}
