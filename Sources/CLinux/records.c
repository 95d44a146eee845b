#define _GNU_SOURCE 1
#include "CLinux.h"

#include <string.h>

int jangada_next_record(const void *bytes, size_t size, size_t *offset, struct jangada_record *record) {
    if (*offset == size) return 0;
    if (*offset > size || size - *offset < 8) return -1;
    const char *at = (const char *)bytes + *offset;
    uint32_t length;
    memcpy(&length, at, 4);
    memcpy(&record->tag, at + 4, 2);
    memcpy(&record->count, at + 6, 2);
    size_t padded = ((size_t)length + 7) & ~(size_t)7;
    if (padded > size - *offset - 8 || (size_t)record->count * 8 > length) return -1;
    record->numbers = (const uint64_t *)(at + 8);
    record->text = at + 8 + (size_t)record->count * 8;
    record->length = length - (size_t)record->count * 8;
    *offset += 8 + padded;
    return 1;
}

const char *jangada_record_string(const struct jangada_record *record, unsigned n) {
    const char *at = record->text, *end = record->text + record->length;
    for (;; n--) {
        const char *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        if (!nul) return "";
        if (n == 0) return at;
        at = nul + 1;
    }
}

uint64_t jangada_record_number(const struct jangada_record *record, unsigned n) { return n < record->count ? record->numbers[n] : 0; }

int jangada_find_record(const void *bytes, size_t size, uint16_t tag, struct jangada_record *record) {
    size_t offset = 0;
    while (jangada_next_record(bytes, size, &offset, record) == 1)
        if (record->tag == tag) return 1;
    memset(record, 0, sizeof *record);
    return 0;
}

size_t jangada_put_record(void *bytes, size_t size, size_t capacity, uint16_t tag, unsigned count, const uint64_t *numbers,
                          unsigned strings, const char *const *texts) {
    size_t length = (size_t)count * 8;
    for (unsigned i = 0; i < strings; i++) length += strlen(texts[i]) + 1;
    size_t padded = (length + 7) & ~(size_t)7;
    if (count > UINT16_MAX || length > UINT32_MAX || size > capacity || padded + 8 > capacity - size) return size;
    char *at = (char *)bytes + size;
    uint32_t word = (uint32_t)length;
    uint16_t half = (uint16_t)count;
    memcpy(at, &word, 4);
    memcpy(at + 4, &tag, 2);
    memcpy(at + 6, &half, 2);
    at += 8;
    if (count) memcpy(at, numbers, (size_t)count * 8);
    char *text = at + (size_t)count * 8;
    for (unsigned i = 0; i < strings; i++) {
        size_t n = strlen(texts[i]) + 1;
        memcpy(text, texts[i], n);
        text += n;
    }
    memset(at + length, 0, padded - length);
    return size + 8 + padded;
}
