interface AvroField {
  readonly name: string;
  readonly type: unknown;
}

/** The fields of a record schema, as JSON text, that are Avro `timestamp-millis`, nullable ones included. */
export function timeColumns(definition: string): ReadonlySet<string> {
  const { fields } = JSON.parse(definition) as { readonly fields: readonly AvroField[] };
  return new Set(fields.filter(({ type }) => [type].flat().some(timestamp)).map(({ name }) => name));
}

function timestamp(type: unknown): boolean {
  return typeof type === "object" && type !== null && "logicalType" in type && type.logicalType === "timestamp-millis";
}
