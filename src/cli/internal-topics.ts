import type { Topic } from "../log/log.ts";

const ofApplications = /^-(commits|choices|control|.+-repartition|.+-changelog|dlq-retries)$/;

/**
 * The topics that hold what applications keep for themselves, in frames nobody else can read. An application is known by
 * its commits; a topic of your own that merely ends in "-changelog" is not internal. Names that begin with `__` are ours.
 */
export function internalTopics(topics: readonly Topic[]): ReadonlySet<string> {
  const applications = topics.map(({ name }) => /^(.+)-commits$/.exec(name)?.[1]).filter((each) => each !== undefined);
  const internal = topics.filter(
    ({ name }) =>
      name.startsWith("__") ||
      applications.some(
        (application) => name.startsWith(application) && ofApplications.test(name.slice(application.length)),
      ),
  );
  return new Set(internal.map(({ name }) => name));
}
