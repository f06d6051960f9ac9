import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;

/** Writes record sets with the classes of the Java client; README.md says how it is run. */
public class WriteGolden {
  static final long TIME = 1_700_000_000_000L;
  static Path folder;

  public static void main(String[] arguments) throws Exception {
    folder = Path.of(arguments[0]);
    for (CompressionType type : CompressionType.values()) {
      Compression compression = Compression.of(type).build();
      write("small-" + type.name, small(compression));
      if (type != CompressionType.NONE) write("large-" + type.name, large(compression));
    }
    write("append-time", appendTime());
    write("transactions", transactions());
    write("compacted", compacted());
    write("magic-1", old());
  }

  static byte[] text(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static MemoryRecordsBuilder builder(byte magic, Compression compression, TimestampType type, long offset, long producer) {
    return MemoryRecords.builder(ByteBuffer.allocate(1 << 20), magic, compression, type, offset, TIME + 5000, producer,
        producer < 0 ? (short) -1 : (short) 2, producer < 0 ? -1 : 11, producer >= 0, false, 9);
  }

  /** Two batches at offset 1000: nulls, headers, times that go back, and 20 records that are much alike. */
  static ByteBuffer small(Compression compression) {
    MemoryRecordsBuilder first = builder((byte) 2, compression, TimestampType.CREATE_TIME, 1000, -1);
    first.append(TIME, text("key"), text("value"));
    first.append(TIME - 7, (byte[]) null, text("no key"));
    first.append(TIME + 86_400_000_000L, text("tombstone"), (byte[]) null);
    first.append(TIME, new byte[0], new byte[0], new Header[] {
      new RecordHeader("größe", text("zwölf")), new RecordHeader("null", (byte[]) null), new RecordHeader("", new byte[0])});
    MemoryRecordsBuilder second = builder((byte) 2, compression, TimestampType.CREATE_TIME, 1004, -1);
    for (int i = 0; i < 20; i++)
      second.append(TIME + i * 1000, text("card-" + i % 3), text("{\"card\":\"card-" + i % 3 + "\",\"amount\":" + i * 100 + "}"));
    return join(first.build().buffer(), second.build().buffer());
  }

  /** One record of 80,000 bytes, more than one block of any codec but zstd; byte i is i % 101 ^ i >> 12. */
  static ByteBuffer large(Compression compression) {
    byte[] value = new byte[80_000];
    for (int i = 0; i < value.length; i++) value[i] = (byte) (i % 101 ^ i >> 12);
    MemoryRecordsBuilder one = builder((byte) 2, compression, TimestampType.CREATE_TIME, 0, -1);
    one.append(TIME, text("large"), value);
    return one.build().buffer();
  }

  static ByteBuffer appendTime() {
    MemoryRecordsBuilder one = builder((byte) 2, Compression.NONE, TimestampType.LOG_APPEND_TIME, 50, -1);
    one.append(TIME, text("a"), text("1"));
    one.append(TIME + 20, text("b"), text("2"));
    return one.build().buffer();
  }

  /** Producer 7 aborts, commits, and leaves a transaction open; producer 8 commits between; one record is of no transaction. */
  static ByteBuffer transactions() {
    return join(
        batch(0, 7, "7-aborted-0", "7-aborted-1"),
        batch(2, 8, "8-committed-2"),
        batch(3, -1, "plain-3"),
        marker(4, 7, ControlRecordType.ABORT),
        batch(5, 7, "7-committed-5"),
        marker(6, 8, ControlRecordType.COMMIT),
        marker(7, 7, ControlRecordType.COMMIT),
        batch(8, 7, "7-aborted-8"),
        batch(9, 8, "8-aborted-9"),
        marker(10, 8, ControlRecordType.ABORT),
        batch(11, 7, "7-aborted-11"));
  }

  static ByteBuffer batch(long offset, long producer, String... values) {
    MemoryRecordsBuilder one = builder((byte) 2, Compression.NONE, TimestampType.CREATE_TIME, offset, producer);
    for (String value : values) one.append(TIME, null, text(value));
    return one.build().buffer();
  }

  static ByteBuffer marker(long offset, long producer, ControlRecordType type) {
    return MemoryRecords.withEndTransactionMarker(offset, TIME, 9, producer, (short) 2, new EndTransactionMarker(type, 3)).buffer();
  }

  /** Three batches after the cleaner: of offsets 0-9 those divisible by 3 and their tombstones, 10-11 empty, 12-14 whole. */
  static ByteBuffer compacted() {
    MemoryRecordsBuilder first = builder((byte) 2, Compression.of(CompressionType.LZ4).build(), TimestampType.CREATE_TIME, 0, -1);
    for (int i = 0; i < 10; i++) first.append(TIME + i, text("k" + i), i == 6 ? null : text("v" + i));
    MemoryRecordsBuilder third = builder((byte) 2, Compression.NONE, TimestampType.CREATE_TIME, 12, -1);
    for (int i = 12; i < 15; i++) third.append(TIME + i, text("k" + i), text("v" + i));
    ByteBuffer all = join(first.build().buffer(), batch(10, 7, "gone", "gone"), third.build().buffer());
    ByteBuffer kept = ByteBuffer.allocate(1 << 20);
    MemoryRecords.readableRecords(all).filterTo(new TopicPartition("t", 0), new MemoryRecords.RecordFilter(TIME + 100, 500) {
      @Override protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
        return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
      }
      @Override protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
        return record.offset() >= 12 || record.offset() < 10 && record.offset() % 3 == 0;
      }
    }, kept, Integer.MAX_VALUE, BufferSupplier.NO_CACHING);
    kept.flip();
    return kept;
  }

  static ByteBuffer old() {
    MemoryRecordsBuilder one = builder((byte) 1, Compression.NONE, TimestampType.CREATE_TIME, 0, -1);
    one.append(TIME, text("a"), text("1"));
    return one.build().buffer();
  }

  static ByteBuffer join(ByteBuffer... parts) {
    int length = 0;
    for (ByteBuffer part : parts) length += part.remaining();
    ByteBuffer whole = ByteBuffer.allocate(length);
    for (ByteBuffer part : parts) whole.put(part.duplicate());
    return whole.flip();
  }

  static void write(String name, ByteBuffer buffer) throws Exception {
    byte[] bytes = new byte[buffer.remaining()];
    buffer.duplicate().get(bytes);
    Files.write(folder.resolve(name + ".bin"), bytes);
  }
}
