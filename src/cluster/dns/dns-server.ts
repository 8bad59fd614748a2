// The cluster's DNS server. Names of the cluster are answered from the services that exist now, others are asked of the
// host's resolvers when there are any.
import { type Query, type Response, ResponseCode } from "#wire/dns/message.ts";
import { type NameServerOptions, type RunningNameServer, startNameServer } from "#wire/dns/name-server.ts";
import { type ClusterZone, lookUp } from "./cluster-records.ts";

export interface DnsServerOptions extends Omit<NameServerOptions, "answer"> {
  readonly zone: ClusterZone;
}

export function startDnsServer({ zone, ...options }: DnsServerOptions): Promise<RunningNameServer> {
  return startNameServer({ ...options, answer: (query) => answerFrom(zone, query) });
}

function answerFrom(zone: ClusterZone, query: Query): Response | "elsewhere" {
  const found = lookUp(zone, query.question);
  const empty = { answers: [], zone: zone.domain, authoritative: true };
  switch (found.kind) {
    case "records":
      return { code: ResponseCode.NoError, answers: found.answers, additional: found.additional, authoritative: true };
    case "alias":
      // The client's resolver follows the alias by asking us for its target.
      return { code: ResponseCode.NoError, answers: [found.answer], authoritative: true };
    case "empty":
      return { code: ResponseCode.NoError, ...empty };
    case "unknown":
      return { code: ResponseCode.NameError, ...empty };
    default:
      return "elsewhere";
  }
}
