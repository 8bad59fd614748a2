// By what name all threads know a limit that a filter's settings make: where they stand, and what they say. Each thread
// has settings objects of its own, so that these are no identity between threads.
import type { Stream } from "./stream.ts";

/** `isOfRoute`: the settings are those of the stream's route, in place of the chain's. */
export function limitName(stream: Stream, filter: string, settings: object, isOfRoute: boolean): string {
  const { connection, decision } = stream;
  const place = [filter, connection.listenerName, connection.filterChainName];
  if (isOfRoute && decision !== null) {
    const { cluster, route, virtualHost } = decision;
    place.push(virtualHost.name, route.name, route.match.description, cluster?.name ?? "");
  }
  return `${place.join("\n")}\n${JSON.stringify(settings)}`;
}
